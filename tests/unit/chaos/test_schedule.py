"""The schedule of kills: random, and a function of the seed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.schedule import LEASE_SECONDS, LONGEST_DOWN, OVER_RABBITMQ, OVER_REDIS, STEPS, Kill, Victim, schedule

WORKERS = 3


def kills(seed: str, count: int = 50, victims: tuple[Victim, ...] = OVER_RABBITMQ) -> tuple[Kill, ...]:
    return schedule(seed, count, victims, (2.0, 7.0), WORKERS)


def test_the_same_seed_is_the_same_schedule_in_every_process() -> None:
    assert kills("7") == kills("7")
    # Of a literal, because a hash that is salted by each process would be the same within this one.
    assert [each.victim for each in kills("7", 6)] == [
        "worker",
        "clock",
        "redis",
        "broker",
        "publisher",
        "stopped worker",
    ]


def test_another_seed_is_another_schedule() -> None:
    assert kills("7") != kills("8")


@pytest.mark.parametrize("victims", [OVER_REDIS, OVER_RABBITMQ])
@given(seed=st.text(), count=st.integers(0, 60))
def test_there_are_so_many_kills_and_every_kind_is_among_them(
    victims: tuple[Victim, ...], seed: str, count: int
) -> None:
    found = kills(seed, count, victims)
    assert len(found) == count
    kinds = {each.victim for each in found}
    assert kinds == set(victims) if count >= len(victims) else len(kinds) == count


@given(seed=st.text())
def test_pauses_absences_and_numbers_are_within_their_bounds(seed: str) -> None:
    for kill in kills(seed):
        assert 2.0 <= kill.after <= 7.0
        least, most = (LEASE_SECONDS, 5.0) if kill.victim is Victim.SLEEPER else (0.0, LONGEST_DOWN)
        assert least <= kill.down <= most
        assert kill.number in (range(WORKERS) if kill.process[0] is Victim.WORKER else {0})


def test_a_stopped_worker_is_the_process_that_may_be_killed_as_well() -> None:
    """It is killed or stopped again only once it is back."""
    found = kills("7", 200)
    assert {each.process for each in found if each.victim is Victim.SLEEPER} == {
        each.process for each in found if each.victim is Victim.WORKER
    }


def test_the_clock_steps_both_ways_and_only_beside_a_redis_that_runs() -> None:
    found = [each for each in kills("7", 200) if each.victim is Victim.CLOCK]
    assert {each.step for each in found} == set(STEPS)
    assert min(STEPS) < 0 < max(STEPS)
    assert all((Victim.REDIS, 0) in each.after_return_of for each in found)
    assert {each.step for each in kills("7", 200) if each.victim is not Victim.CLOCK} == {0.0}


def test_every_worker_is_killed_and_workers_most_of_all() -> None:
    found = kills("7", 200)
    assert {each.number for each in found if each.victim is Victim.WORKER} == set(range(WORKERS))
    assert Counter(each.victim for each in found).most_common(1)[0][0] is Victim.WORKER
