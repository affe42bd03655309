"""Whole events in Celery messages."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID, uuid4, uuid5

import msgspec
import pytest

from config.celery import DELIVERY_LIMIT
from config.observable_events import load_catalogue
from tests.turns import counted_turns
from worker.delivery.dispatcher import Dispatcher
from worker.domain.event import Event, Ingress, Refusal
from worker.domain.event_parser import EventRules
from worker.event_loop.pacing import STEP_PARTS
from worker.intake import celery_messages
from worker.intake.celery_messages import CeleryIntake
from worker.intake.message_parser import event_id
from worker.ledger import Acceptance, Ledger, LedgerFull, LedgerUnavailable

TASK = str(uuid4())


class Inbox:
    """A ledger's intake and a dispatcher, which may be away for a number of calls."""

    def __init__(self) -> None:
        self.inbox = self
        self.accepted: list[Event] = []
        self.rejected: list[dict[str, Any]] = []
        self.observed: list[str] = []
        self.failures: list[Exception] = []
        self.times_back = 0

    def _maybe_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def accept(self, events: Sequence[Event], ingress: Ingress) -> list[Acceptance]:
        self._maybe_fail()
        self.accepted += events
        return [Acceptance.NEW] * len(events)

    async def came_back(self, message_id: str) -> int:
        self._maybe_fail()
        self.times_back += 1
        return self.times_back

    async def reject(self, entries: Sequence[str]) -> None:
        self._maybe_fail()
        self.rejected += [msgspec.json.decode(entry) for entry in entries]

    async def begin(self, refs: Sequence[str]) -> None:
        self._maybe_fail()
        self.observed += refs


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def intake(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> CeleryIntake:
    monkeypatch.setattr(celery_messages, "RETRY_SECONDS", 0.0)
    return CeleryIntake(cast(Ledger, inbox), cast(Dispatcher, inbox), EventRules(load_catalogue()))


def event(**changes: Any) -> dict[str, Any]:
    return {"type": "order.paid", "data": {}} | changes


async def test_good_events_are_accepted_and_observed_at_once(intake: CeleryIntake, inbox: Inbox) -> None:
    await intake.take([event(id="a"), event(id="b")], TASK)
    assert [each.id for each in inbox.accepted] == ["a", "b"]
    assert inbox.observed == [each.ref for each in inbox.accepted]


async def test_a_message_that_is_delivered_again_brings_no_new_events(intake: CeleryIntake, inbox: Inbox) -> None:
    for _ in range(2):
        await intake.take([event(), event(id="own"), event()], TASK)
    assert [each.id for each in inbox.accepted[:3]] == [each.id for each in inbox.accepted[3:]]
    assert inbox.accepted[0].id == str(uuid5(UUID(TASK), "0"))
    assert inbox.accepted[2].id == str(uuid5(UUID(TASK), "2"))


def test_a_producer_may_name_its_tasks_as_it_likes() -> None:
    assert event_id("my-task", 0) == event_id("my-task", 0)
    assert len({event_id("my-task", 0), event_id("my-task", 1), event_id("other", 0)}) == 3


@pytest.mark.parametrize("bad", [{}, None, "text", 5, [], {"type": "order.paid"}, {"type": "no.such", "data": {}}])
async def test_a_bad_event_is_kept_and_its_neighbours_go(intake: CeleryIntake, inbox: Inbox, bad: Any) -> None:
    await intake.take([event(id="a"), bad, event(id="b")], TASK)
    assert [each.id for each in inbox.accepted] == ["a", "b"]
    (entry,) = inbox.rejected
    assert entry["reason"]
    assert msgspec.json.decode(entry["given"]) == bad
    assert entry["source"] == f"task {TASK}"


async def test_a_message_that_came_back_too_often_is_kept_unread(intake: CeleryIntake, inbox: Inbox) -> None:
    inbox.failures = [LedgerUnavailable("away")]
    for _ in range(DELIVERY_LIMIT):
        await intake.take([event(id="a")], TASK, again=True)
    assert len(inbox.accepted) == DELIVERY_LIMIT

    await intake.take([event(id="a")], TASK, again=True)

    assert len(inbox.accepted) == DELIVERY_LIMIT
    assert "came back" in inbox.rejected[0]["reason"]


async def test_an_empty_message_asks_the_ledger_for_nothing(intake: CeleryIntake, inbox: Inbox) -> None:
    inbox.failures = [AssertionError("nobody was to be asked")]
    await intake.take([], TASK)


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), LedgerFull("full")])
async def test_it_waits_for_a_ledger_that_takes_nothing(intake: CeleryIntake, inbox: Inbox, error: Exception) -> None:
    inbox.failures = [error] * 5
    await intake.take([event(id="a"), {}], TASK)
    assert [each.id for each in inbox.accepted] == ["a"]
    assert len(inbox.rejected) == 1


async def test_an_intake_that_waits_can_be_closed(intake: CeleryIntake, inbox: Inbox) -> None:
    inbox.failures = [LedgerUnavailable("away")] * 1_000_000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await intake.take([event()], TASK)
    assert inbox.failures
    assert inbox.accepted == []


async def test_whatever_was_rejected_can_be_kept(intake: CeleryIntake, inbox: Inbox) -> None:
    await intake.reject(Refusal("f", "r"), b"\xff bytes", "s")
    await intake.reject(Refusal("f", "r"), {"object": object()}, "s")
    await intake.reject(Refusal("f", "r"), {"set": {1}, "x": float("nan")}, "s")
    assert [entry["given"][:4] for entry in inbox.rejected] == ["� by", '{"ob', '{"se']


async def test_many_events_of_a_message_are_parsed_in_steps(
    intake: CeleryIntake, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counted_turns() as turns:
        turns.count(monkeypatch, celery_messages, "parse_event")
        await intake.take([event(id=str(number)) for number in range(500)], TASK)
    assert [each.id for each in inbox.accepted] == [str(number) for number in range(500)]
    assert turns.most <= STEP_PARTS


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
async def test_a_number_that_json_does_not_have_is_refused_and_not_changed(
    intake: CeleryIntake, inbox: Inbox, number: float
) -> None:
    # What Celery makes of 1e999 and NaN in a message.
    await intake.take([event(data={"lines": [{"total": number, "note": None}]}), event(data={"note": None})], TASK)
    (entry,) = inbox.rejected
    assert entry["field"] == "data.lines.0.total"
    assert "finite" in entry["reason"]
    assert len(inbox.accepted) == 1
