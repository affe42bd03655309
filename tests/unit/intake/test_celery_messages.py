"""The door for whole events in Celery messages."""

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
from worker.intake import celery_messages as door_module
from worker.intake.celery_messages import CeleryIntake
from worker.intake.message_parser import event_id
from worker.ledger import Acceptance, Ledger, LedgerFull, LedgerUnavailable
from worker.pacing import STEP_PARTS

TASK = str(uuid4())


class Books:
    """A ledger's intake and a dispatcher, which may be away for a number of calls."""

    def __init__(self) -> None:
        self.intake = self
        self.accepted: list[Event] = []
        self.rejected: list[dict[str, Any]] = []
        self.observed: list[str] = []
        self.failures: list[Exception] = []
        self.times_back = 0

    def _maybe_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def accept(self, events: Sequence[Event], door: Ingress) -> list[Acceptance]:
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

    async def observe(self, refs: Sequence[str]) -> None:
        self._maybe_fail()
        self.observed += refs


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def door(books: Books, monkeypatch: pytest.MonkeyPatch) -> CeleryIntake:
    monkeypatch.setattr(door_module, "RETRY_SECONDS", 0.0)
    return CeleryIntake(cast(Ledger, books), cast(Dispatcher, books), EventRules(load_catalogue()))


def event(**changes: Any) -> dict[str, Any]:
    return {"type": "order.paid", "data": {}} | changes


async def test_good_events_are_accepted_and_observed_at_once(door: CeleryIntake, books: Books) -> None:
    await door.take([event(id="a"), event(id="b")], TASK)
    assert [each.id for each in books.accepted] == ["a", "b"]
    assert books.observed == [each.ref for each in books.accepted]


async def test_a_message_that_is_delivered_again_brings_no_new_events(door: CeleryIntake, books: Books) -> None:
    for _ in range(2):
        await door.take([event(), event(id="own"), event()], TASK)
    assert [each.id for each in books.accepted[:3]] == [each.id for each in books.accepted[3:]]
    assert books.accepted[0].id == str(uuid5(UUID(TASK), "0"))
    assert books.accepted[2].id == str(uuid5(UUID(TASK), "2"))


def test_a_producer_may_name_its_tasks_as_it_likes() -> None:
    assert event_id("my-task", 0) == event_id("my-task", 0)
    assert len({event_id("my-task", 0), event_id("my-task", 1), event_id("other", 0)}) == 3


@pytest.mark.parametrize("bad", [{}, None, "text", 5, [], {"type": "order.paid"}, {"type": "no.such", "data": {}}])
async def test_a_bad_event_is_kept_and_its_neighbours_go(door: CeleryIntake, books: Books, bad: Any) -> None:
    await door.take([event(id="a"), bad, event(id="b")], TASK)
    assert [each.id for each in books.accepted] == ["a", "b"]
    (entry,) = books.rejected
    assert entry["reason"]
    assert msgspec.json.decode(entry["given"]) == bad
    assert entry["source"] == f"task {TASK}"


async def test_a_message_that_came_back_too_often_is_kept_unread(door: CeleryIntake, books: Books) -> None:
    books.failures = [LedgerUnavailable("away")]
    for _ in range(DELIVERY_LIMIT):
        await door.take([event(id="a")], TASK, again=True)
    assert len(books.accepted) == DELIVERY_LIMIT

    await door.take([event(id="a")], TASK, again=True)

    assert len(books.accepted) == DELIVERY_LIMIT
    assert "came back" in books.rejected[0]["reason"]


async def test_an_empty_message_asks_the_ledger_for_nothing(door: CeleryIntake, books: Books) -> None:
    books.failures = [AssertionError("nobody was to be asked")]
    await door.take([], TASK)


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), LedgerFull("full")])
async def test_it_waits_for_a_ledger_that_takes_nothing(door: CeleryIntake, books: Books, error: Exception) -> None:
    books.failures = [error] * 5
    await door.take([event(id="a"), {}], TASK)
    assert [each.id for each in books.accepted] == ["a"]
    assert len(books.rejected) == 1


async def test_what_is_in_the_inbox_may_be_observed_later(door: CeleryIntake, books: Books) -> None:
    async def away(refs: Sequence[str]) -> None:
        raise LedgerUnavailable("away")

    books.observe = away  # type: ignore[method-assign]  # the one call that fails
    await door.take([event(id="a")], TASK)
    assert [each.id for each in books.accepted] == ["a"]


async def test_a_door_that_waits_can_be_closed(door: CeleryIntake, books: Books) -> None:
    books.failures = [LedgerUnavailable("away")] * 1_000_000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await door.take([event()], TASK)
    assert books.failures
    assert books.accepted == []


async def test_whatever_was_rejected_can_be_kept(door: CeleryIntake, books: Books) -> None:
    await door.reject(Refusal("f", "r"), b"\xff bytes", "s")
    await door.reject(Refusal("f", "r"), {"object": object()}, "s")
    await door.reject(Refusal("f", "r"), {"set": {1}, "x": float("nan")}, "s")
    assert [entry["given"][:4] for entry in books.rejected] == ["� by", '{"ob', '{"se']


async def test_many_events_of_a_message_are_parsed_in_steps(
    door: CeleryIntake, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counted_turns() as turns:
        turns.count(monkeypatch, door_module, "parse_event")
        await door.take([event(id=str(number)) for number in range(500)], TASK)
    assert [each.id for each in books.accepted] == [str(number) for number in range(500)]
    assert turns.most <= STEP_PARTS


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
async def test_a_number_that_json_does_not_have_is_refused_and_not_changed(
    door: CeleryIntake, books: Books, number: float
) -> None:
    # What Celery makes of 1e999 and NaN in a message.
    await door.take([event(data={"lines": [{"total": number, "note": None}]}), event(data={"note": None})], TASK)
    (entry,) = books.rejected
    assert entry["field"] == "data.lines.0.total"
    assert "finite" in entry["reason"]
    assert len(books.accepted) == 1
