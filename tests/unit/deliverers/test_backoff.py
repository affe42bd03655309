from hypothesis import given
from hypothesis import strategies as st

from deliverers.backoff import Backoff

BACKOFF = Backoff(first=0.5, longest=30.0)


def test_nothing_is_waited_for_before_the_first_failure() -> None:
    assert BACKOFF.pause(0) == 0.0


def test_pauses_double_from_the_first_to_the_longest() -> None:
    assert [BACKOFF.pause(failures) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.integers(0, 10**9))
def test_no_number_of_failures_makes_a_pause_longer_than_the_longest(failures: int) -> None:
    assert 0 <= BACKOFF.pause(failures) <= BACKOFF.pause(failures + 1) <= BACKOFF.longest
