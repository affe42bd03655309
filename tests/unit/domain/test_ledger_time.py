"""What becomes of a leap of Redis's clock that was held back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import worker.ledger
from worker.domain.ledger_time import (
    HOLD_MS,
    JUMP_MS,
    LedgerClock,
    Release,
    Watch,
    confirmation_of,
    expected_times,
    release_of,
)

NOW = 1_800_000_000_000
DAY = 86_400_000
spans = st.integers(0, 400 * DAY)


def leapt(held: int, ago: int = 0, *, measured: bool = False) -> LedgerClock:
    """A clock whose leap by `held` was held back some time ago."""
    return LedgerClock(NOW, NOW + held, -held, held, NOW - ago, measured)


def test_the_longest_leap_without_an_explanation_is_the_same_in_the_scripts() -> None:
    part = Path(worker.ledger.__file__).parent / "lua/parts/clock.lua"
    assert f"local JUMP = {JUMP_MS}\n" in part.read_text()


def test_without_a_leap_there_is_nothing_to_decide() -> None:
    assert release_of(LedgerClock(NOW, NOW, 0), [NOW + DAY]) is None


@given(held=st.integers(JUMP_MS + 1, 400 * DAY), off=st.integers(0, JUMP_MS))
def test_a_time_that_a_process_has_measured_is_made_up_at_once(held: int, off: int) -> None:
    assert release_of(leapt(held), [NOW + held - off]) == Release(held)


@given(held=st.integers(JUMP_MS + 1, 400 * DAY), ago=st.integers(0, HOLD_MS - 1))
def test_a_leap_that_nobody_measured_is_held_for_ten_minutes_and_then_true(held: int, ago: int) -> None:
    assert release_of(leapt(held, ago), []) is None
    assert release_of(leapt(held, HOLD_MS), []) == Release(held)


@given(held=st.integers(JUMP_MS + 2, 400 * DAY), ago=st.integers(0, HOLD_MS - 1))
def test_a_leap_that_a_process_measured_as_wrong_never_enters_ledger_time_by_itself(held: int, ago: int) -> None:
    assert release_of(leapt(held, ago), [NOW]) == Release(0, held, measured=True)
    assert release_of(leapt(held, ago, measured=True), [NOW]) is None
    assert release_of(leapt(held, HOLD_MS, measured=True), []) == Release(0)


@given(held=spans, ago=spans, measured=st.booleans(), expected=st.lists(st.integers(NOW - 400 * DAY, NOW + 400 * DAY)))
def test_no_decision_sets_time_back_or_beyond_what_was_held(
    held: int, ago: int, measured: bool, expected: list[int]
) -> None:
    clock = leapt(held, ago, measured=measured)
    release = release_of(clock, expected)
    if release is None:
        return
    assert 0 <= release.advance <= held
    assert release.left in (0, held - release.advance)
    if expected and release.left:
        assert clock.now + release.advance <= max(*expected, clock.now)


@given(held=st.integers(1, 400 * DAY), offset=st.integers(-400 * DAY, 400 * DAY))
def test_an_operator_confirms_a_leap_and_never_sets_time_back(held: int, offset: int) -> None:
    assert confirmation_of(leapt(held)) == Release(held)
    confirmed = confirmation_of(LedgerClock(NOW, NOW - offset, offset))
    assert confirmed == (Release(-offset) if offset < 0 else None)


def test_only_a_watch_of_this_boot_that_began_before_the_leap_says_what_time_it_should_be() -> None:
    clock = leapt(DAY, 5_000)
    good = Watch("boot", 1_000, NOW - 10_000)
    others = [None, Watch("other", 1_000, NOW - 10_000), Watch("boot", 1_000, NOW - 4_999)]
    assert expected_times(clock, [good, *others], "boot", 4_000) == [NOW - 7_000]


@pytest.mark.parametrize("text", ["", "boot", "boot 1", "boot x 2", "boot 1 -2", "boot 1 2 3"])
def test_a_text_that_is_no_watch_is_none(text: str) -> None:
    assert Watch.of_written(text) is None


def test_a_watch_is_written_and_read() -> None:
    watch = Watch("8a1c", 5, NOW)
    assert Watch.of_written(watch.written) == watch
