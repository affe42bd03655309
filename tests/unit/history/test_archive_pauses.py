"""The archiver's pauses while PostgreSQL is away."""

import pytest

from worker.history.archiver import pause_after

#: Archiving goes on within this time of the end of an outage (seconds), half of which is for connecting.
RESUMES_WITHIN = 5.0


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("outage", [0.1, 7.0, 120.0, 86_400.0])
def test_the_next_try_after_an_outage_is_near_however_long_it_was(outage: float, chance: float) -> None:
    now, failures = 0.0, 0
    while now < outage:
        failures += 1
        now += pause_after(failures, chance)
    assert now - outage < RESUMES_WITHIN / 2


def test_pauses_grow_so_that_a_long_outage_costs_little() -> None:
    pauses = [pause_after(failures, 0.5) for failures in range(1, 20)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 2.0
    assert pause_after(10**9, 1.0) == pytest.approx(2.4)
