"""The limit of what a process takes on, as it falls and rises. Times are the test's."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.in_flight_limit import (
    ATTEMPTS_FOR_ONE_MORE,
    BACKOFF,
    LOG_SECONDS,
    InFlightLimit,
)


def test_nothing_is_lower_until_something_is_lacking() -> None:
    limit = InFlightLimit(200)
    for _ in range(100):
        limit.reached()
    assert (limit.current, limit.at(0.0)) == (200, 200)


def test_a_lack_halves_what_was_under_way_and_many_attempts_fail_of_one_lack() -> None:
    limit = InFlightLimit(200)
    pauses = [limit.lacking(80, now=1.0) for _ in range(50)]
    assert pauses == [BACKOFF.first, *[0.0] * 49]
    assert limit.current == 40
    assert limit.at(1.0 + BACKOFF.first / 2) == 0
    assert limit.at(1.0 + BACKOFF.first) == 40


def test_pauses_double_until_an_attempt_gets_through() -> None:
    limit, now, pauses = InFlightLimit(200), 0.0, []
    for _ in range(10):
        pauses.append(limit.lacking(200, now))
        now += pauses[-1]
    assert pauses[:3] == [BACKOFF.first, 2 * BACKOFF.first, 4 * BACKOFF.first]
    assert pauses[-1] == BACKOFF.longest
    limit.reached()
    assert limit.lacking(200, now) == BACKOFF.first


def test_it_rises_step_by_step_as_attempts_reach_their_receivers() -> None:
    limit = InFlightLimit(10)
    limit.lacking(10, now=0.0)
    risen = []
    for _ in range(8):
        for _ in range(ATTEMPTS_FOR_ONE_MORE + 1):
            limit.reached()
        risen.append(limit.current)
    assert risen == sorted(risen)
    assert (risen[0], risen[-1]) == (6, 10)


def test_one_line_a_second_counts_them_all() -> None:
    limit = InFlightLimit(10)
    lines = []
    for step in range(40):
        limit.lacking(10, now=step / 10)
        if count := limit.to_log(step / 10):
            lines.append((step / 10, count))
    times = [when for when, _ in lines]
    assert all(later - earlier >= LOG_SECONDS for earlier, later in pairwise(times))
    assert sum(count for _, count in lines) <= 40
    assert lines[1][1] > 1


@given(st.integers(1, 1_000), st.lists(st.tuples(st.booleans(), st.integers(0, 1_000), st.floats(0, 10))))
def test_it_is_never_below_one_nor_above_the_setting(most: int, steps: list[tuple[bool, int, float]]) -> None:
    limit, now = InFlightLimit(most), 0.0
    for reached, under_way, passed in steps:
        now += passed
        if reached:
            limit.reached()
        else:
            limit.lacking(min(under_way, most), now)
        assert 1 <= limit.current <= most
        assert limit.at(now + BACKOFF.longest) == limit.current
