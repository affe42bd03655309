"""The checker of a chaos run: silent about a good one, and each rule speaks where it is broken."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import NAMED, Check
from tests.chaos.records import JobRow, Killed, LogRow, Offer, Records, Request
from tests.chaos.schedule import Victim

LOST = LogRow("j-erp", 1, False, "the worker was lost while this attempt was in flight; its outcome is unknown")

#: Two integrations; the shop's attempt 1 was refused. A worker was killed meanwhile, which had nothing in flight.
GOOD = Records(
    lossy=frozenset(),
    observers={"order.paid": frozenset({"erp", "shop"}), "order.refunded": frozenset({"shop"})},
    offers=(
        Offer("paid", "http", "order.paid", True),
        Offer("refunded", "http", "order.refunded", True),
        Offer("unknown", "http", "order.paid", False),
    ),
    requests=(
        Request("paid", "erp", "j-erp", 1, 200),
        Request("paid", "shop", "j-shop", 1, 500),
        Request("paid", "shop", "j-shop", 2, 200),
        Request("refunded", "shop", "j-refund", 1, 200),
    ),
    events=frozenset({"paid", "refunded"}),
    jobs=(
        JobRow("j-erp", "paid", "erp", "succeeded", 1, 0),
        JobRow("j-shop", "paid", "shop", "succeeded", 2, 0),
        JobRow("j-refund", "refunded", "shop", "succeeded", 1, 0),
    ),
    logs=(
        LogRow("j-erp", 1, True, ""),
        LogRow("j-shop", 1, False, "answered 500"),
        LogRow("j-shop", 2, True, ""),
        LogRow("j-refund", 1, True, ""),
    ),
    killed=(Killed(Victim.WORKER, 0),),
)

#: A worker was killed after the ERP had taken the event, and before the ledger knew: the ERP has it twice.
AGAIN = replace(
    GOOD,
    requests=(*GOOD.requests, Request("paid", "erp", "j-erp", 2, 200)),
    jobs=(JobRow("j-erp", "paid", "erp", "succeeded", 2, 1), *GOOD.jobs[1:]),
    logs=(LOST, LogRow("j-erp", 2, True, ""), *GOOD.logs[1:]),
    killed=(Killed(Victim.WORKER, 1),),
)


def without(records: Records, **left_out: Any) -> Records:
    """Records but for some: `without(GOOD, requests=GOOD.requests[0])`."""
    changes: dict[str, Any] = {
        name: [each for each in getattr(records, name) if each != one] for name, one in left_out.items()
    }
    return replace(records, **changes)


def added(records: Records, **more: Any) -> Records:
    changes: dict[str, Any] = {name: [*getattr(records, name), one] for name, one in more.items()}
    return replace(records, **changes)


def problems(records: Records) -> list[str]:
    return Check(records).problems()


def only(records: Records) -> str:
    (problem,) = problems(records)
    return problem


def test_a_good_run_has_no_problems() -> None:
    assert problems(GOOD) == []


def test_one_repeated_delivery_for_each_attempt_that_was_in_flight_at_a_kill_is_a_good_run() -> None:
    assert problems(AGAIN) == []
    assert Check(AGAIN).doubled == 1


class TestMissing:
    def test_an_accepted_event_that_one_of_its_observers_did_not_take(self) -> None:
        assert only(without(GOOD, requests=GOOD.requests[2])) == "paid was accepted by http and is missing at shop"

    def test_an_accepted_event_that_came_nowhere(self) -> None:
        lost = added(GOOD, offers=Offer("gone", "queue", "order.refunded", True))
        assert only(lost) == "gone was accepted by queue and is missing at shop"

    def test_an_event_whose_producer_died_and_that_the_ledger_has(self) -> None:
        half = replace(GOOD, events=GOOD.events | {"unknown"})
        assert len(problems(half)) == 2

    def test_raw_messages_that_a_broker_may_lose_are_counted_apart(self) -> None:
        records = replace(
            added(
                added(GOOD, offers=Offer("raw", "celery", "order.paid", True)), offers=Offer("kept", "celery", "", True)
            ),
            lossy=frozenset({"celery"}),
            held=frozenset({"kept"}),
        )
        assert problems(records) == []
        assert [each.id for each in Check(records).lost] == ["raw"]
        assert [each.id for each in Check(records).held] == ["kept"]

    def test_but_not_once_the_ledger_has_them(self) -> None:
        records = added(GOOD, offers=Offer("raw", "celery", "order.refunded", True))
        records = replace(records, lossy=frozenset({"celery"}), events=GOOD.events | {"raw"})
        assert only(records) == "raw was accepted by celery and is missing at shop"


def test_an_event_that_nobody_sent() -> None:
    records = added(GOOD, requests=Request("invented", "erp", "j-erp", 1, 500))
    assert any("erp got invented" in each for each in problems(records))


def test_an_event_that_its_receiver_does_not_observe() -> None:
    records = added(GOOD, requests=Request("refunded", "erp", "j-refund", 1, 500))
    assert any("erp got refunded" in each for each in problems(records))


def test_an_attempt_that_was_sent_without_its_log() -> None:
    found = problems(without(GOOD, logs=GOOD.logs[1]))
    assert found == [
        "attempt 1 of job j-shop was sent and has no log",
        "job j-shop had 2 attempts, and logs of [2]",
    ]


@pytest.mark.parametrize("log", [GOOD.logs[1], GOOD.logs[2]])
def test_a_gap_in_the_numbers_of_a_jobs_attempts(log: LogRow) -> None:
    skipped = replace(GOOD, logs=[replace(each, attempt=4) if each == log else each for each in GOOD.logs])
    assert any("job j-shop had 2 attempts, and logs of" in each for each in problems(skipped))


def test_a_second_log_of_an_attempt() -> None:
    assert only(added(GOOD, logs=GOOD.logs[0])) == "job j-erp had 1 attempts, and logs of [1, 1]"


def test_a_log_of_no_job() -> None:
    assert only(added(GOOD, logs=LogRow("j-none", 1, True, ""))) == "there are logs of job j-none, and no such job"


def test_an_attempt_that_was_carried_out_twice() -> None:
    assert only(added(GOOD, requests=GOOD.requests[1])) == "attempt 1 of job j-shop was sent 2 times"


class TestDuplicates:
    def test_a_repeated_delivery_of_a_job_that_was_never_lost(self) -> None:
        kept = replace(AGAIN, jobs=(replace(AGAIN.jobs[0], lost=0), *AGAIN.jobs[1:]))
        assert only(kept) == "erp took paid 2 times, and 1 can be explained"

    def test_more_of_them_than_were_in_flight_at_kills(self) -> None:
        idle = replace(AGAIN, killed=GOOD.killed)
        assert only(idle) == "1 duplicates, and only 0 attempts can be their cause"

    def test_an_attempt_whose_answer_was_not_received_explains_one(self) -> None:
        unanswered = replace(
            AGAIN,
            killed=GOOD.killed,
            jobs=(replace(AGAIN.jobs[0], lost=0), *AGAIN.jobs[1:]),
            logs=(replace(LOST, detail="no answer within 10 s"), *AGAIN.logs[1:]),
        )
        assert problems(unanswered) == []

    def test_an_attempt_that_outlived_its_lease_explains_one(self) -> None:
        outlived = replace(AGAIN, killed=GOOD.killed, logs=(replace(LOST, succeeded=True, detail=""), *AGAIN.logs[1:]))
        assert problems(outlived) == []
        assert Check(outlived).outlived == 1

    def test_an_event_that_a_second_job_brings(self) -> None:
        second = replace(
            added(GOOD, requests=Request("paid", "erp", "j-second", 1, 200), logs=LogRow("j-second", 1, True, "")),
            jobs=(JobRow("j-second", "paid", "erp", "succeeded", 1, 0), *GOOD.jobs),
        )
        assert any("erp took paid 2 times" in each for each in problems(second))


def test_what_the_ledger_says_of_itself() -> None:
    records = replace(GOOD, events_balance=1, jobs_balance=-2, audit=["a job is nowhere"], accidents=["api ended"])
    assert problems(records) == [
        "the balance of events is 1",
        "the balance of jobs is -2",
        "a job is nowhere",
        "api ended",
    ]


def test_an_ingress_by_which_nothing_came_in() -> None:
    assert only(added(GOOD, offers=Offer("e", "queue", "order.paid", False))) == "nothing was accepted by queue"


def test_a_run_in_which_nothing_was_offered() -> None:
    assert only(Records(frozenset(), {})) == "nothing was offered"


def test_of_many_problems_of_a_kind_the_first_are_named() -> None:
    many = replace(GOOD, offers=[*GOOD.offers, *(Offer(f"e-{n}", "http", "order.refunded", True) for n in range(40))])
    found = problems(many)
    assert len(found) == NAMED + 1
    assert found[-1] == f"… and {40 - NAMED} more like that"
