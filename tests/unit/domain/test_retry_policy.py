"""What follows an attempt."""

import pytest

from deliverers.contract import Counted, Delivered, Gone, Refused, Unreachable
from worker.domain.retry_policy import Fail, Retry, RetryPolicy, Succeed

POLICY = RetryPolicy((10.0, 100.0))
MIDDLE = 0.5
HOUR = 3600.0


def test_what_was_delivered_is_over() -> None:
    assert POLICY.decide(Delivered(200, "ok"), 1, MIDDLE) == Succeed()
    assert POLICY.decide(Delivered(None, ""), 99, MIDDLE) == Succeed()


@pytest.mark.parametrize(
    "outcome",
    [
        Unreachable("no answer within 10 s"),
        *(Refused(status, "", "r") for status in (301, 400, 401, 404, 408, 422, 500)),
    ],
)
def test_every_other_failure_is_tried_again_after_the_schedule(outcome: Counted) -> None:
    assert POLICY.decide(outcome, 1, MIDDLE) == Retry(10.0)
    assert POLICY.decide(outcome, 2, MIDDLE) == Retry(100.0)
    assert POLICY.decide(outcome, 3, MIDDLE) == Fail("exhausted")
    assert POLICY.decide(outcome, 4, MIDDLE) == Fail("exhausted")


def test_410_ends_the_job_and_disables_the_integration_with_the_reason() -> None:
    assert POLICY.decide(Gone("the receiver answered 410 Gone"), 1, MIDDLE) == Fail(
        "gone", disable="the receiver answered 410 Gone"
    )


@pytest.mark.parametrize(
    ("status", "asked", "expected"),
    [
        (503, 60.0, Retry(60.0, rest=60.0)),
        (429, 60.0, Retry(60.0, rest=60.0)),
        # It is honoured, and never shortens the schedule.
        (503, 1.0, Retry(10.0, rest=1.0)),
        (503, 0.0, Retry(10.0, rest=0.0)),
        # Only 429 and 503 speak for all of the receiver.
        (500, 60.0, Retry(60.0)),
        (404, 60.0, Retry(60.0)),
        (None, 60.0, Retry(60.0)),
        # A day at most.
        (503, 30 * 24 * HOUR, Retry(24 * HOUR, rest=24 * HOUR)),
        (500, 30 * 24 * HOUR, Retry(24 * HOUR)),
    ],
)
def test_a_receiver_may_ask_for_patience(status: int | None, asked: float, expected: Retry) -> None:
    assert POLICY.decide(Refused(status, "", "r", retry_after=asked), 1, MIDDLE) == expected


def test_patience_that_was_asked_for_adds_no_attempt() -> None:
    assert POLICY.decide(Refused(503, "", "r", retry_after=60.0), 3, MIDDLE) == Fail("exhausted")


@pytest.mark.parametrize(("random", "delay"), [(0.0, 8.0), (0.25, 9.0), (0.5, 10.0), (0.75, 11.0), (1.0, 12.0)])
def test_jitter_is_a_fifth_to_either_side(random: float, delay: float) -> None:
    found = POLICY.decide(Unreachable("r"), 1, random)
    assert isinstance(found, Retry)
    assert found.delay == pytest.approx(delay)


def test_the_first_loss_is_due_at_once_and_later_ones_wait_their_turn() -> None:
    assert POLICY.after_loss(1, 1, MIDDLE) == Retry(0.0)
    assert POLICY.after_loss(2, 1, MIDDLE) == Retry(0.0)
    assert POLICY.after_loss(1, 2, MIDDLE) == Retry(10.0)
    assert POLICY.after_loss(2, 2, MIDDLE) == Retry(100.0)
    assert POLICY.after_loss(2, 9, MIDDLE) == Retry(100.0)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_loss_of_the_last_attempt_ends_the_job(lost: int) -> None:
    assert POLICY.after_loss(3, lost, MIDDLE) == Fail("exhausted")


def test_an_empty_schedule_has_one_attempt() -> None:
    assert RetryPolicy(()).decide(Unreachable("r"), 1, MIDDLE) == Fail("exhausted")
    assert RetryPolicy(()).after_loss(1, 1, MIDDLE) == Fail("exhausted")
