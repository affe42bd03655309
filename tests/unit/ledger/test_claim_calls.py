"""Which calls may still bring jobs, and which never will."""

import pytest

from worker.ledger.lanes import claim_calls as calls_module
from worker.ledger.lanes.claim_calls import ClaimCalls


def lost(calls: ClaimCalls) -> int:
    with pytest.raises(ConnectionError), calls.begun() as number:
        raise ConnectionError
    return number


def test_a_call_whose_reply_came_was_answered_and_one_that_raised_was_not() -> None:
    calls = ClaimCalls()
    with calls.begun() as answered:
        pass
    assert calls.was_answered(answered)
    assert not calls.was_answered(lost(calls))


def test_every_call_before_the_oldest_under_way_has_ended() -> None:
    calls = ClaimCalls()
    assert calls.oldest == 1
    with calls.begun() as first:
        with calls.begun() as second:
            assert calls.oldest == first
        assert calls.oldest == first < second
    assert calls.oldest == second + 1


def test_only_the_newest_of_many_lost_replies_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "UNANSWERED_KEPT", 2)
    calls = ClaimCalls()
    numbers = [lost(calls) for _ in range(4)]
    assert [calls.was_answered(number) for number in numbers] == [True, True, False, False]
