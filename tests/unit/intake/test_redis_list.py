"""The reader of the plain queue on Redis, with a ledger that does what a test asks."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
import structlog

from config.observable_events import load_catalogue
from tests.waiting import eventually
from worker.domain.event import Event
from worker.domain.event_parser import EventRules
from worker.intake import redis_list
from worker.intake.redis_list import RedisListReader
from worker.ledger import Acceptance, LedgerFull, LedgerUnavailable
from worker.ledger.events.intake_list import MESSAGE_TRIES, MessageBatch


def plain(event_id: str) -> bytes:
    return json.dumps({"type": "order.paid", "id": event_id, "data": {}}).encode()


class Queue:
    """A plain queue; `failures` are raised in turn, `fenced` makes it somebody else's."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.taken: list[bytes] = []
        self.calls: list[tuple[int, list[str], list[dict[str, Any]]]] = []
        self.observed: list[str] = []
        self.known: set[str] = set()
        self.failures: list[Exception] = []
        self.fenced = 0
        self.lost = 0
        self.given_back = 0
        #: Messages that were left to a newer process.
        self.left: list[bytes] = []
        self.awaited = asyncio.Event()
        self.pushed = asyncio.Event()

    def push(self, *messages: bytes) -> None:
        self.waiting += messages
        self.pushed.set()

    async def take(self) -> MessageBatch:
        await asyncio.sleep(0)
        self.taken, self.waiting = self.taken + self.waiting, []
        if self.failures:
            raise self.failures.pop(0)
        return MessageBatch(1, tuple(self.taken), self.lost)

    async def accept(
        self, batch: MessageBatch, done: int, events: Sequence[Event], entries: Sequence[str]
    ) -> list[Acceptance] | None:
        if self.failures:
            raise self.failures.pop(0)
        if self.fenced:
            self.fenced -= 1
            self.taken, self.waiting = [], self.taken
            return None
        self.calls.append((done, [event.id for event in events], [msgspec.json.decode(each) for each in entries]))
        self.taken = self.taken[done:]
        answers = [Acceptance.DUPLICATE if event.id in self.known else Acceptance.NEW for event in events]
        self.known |= {event.id for event in events}
        return answers

    async def leave(self, batch: MessageBatch) -> bool:
        self.left.append(batch.messages[0])
        self.taken = self.taken[1:]
        return True

    async def give_back(self) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.given_back += 1
        return len(self.taken)

    async def wait(self) -> None:
        self.awaited.set()
        await self.pushed.wait()
        self.pushed.clear()

    async def observe(self, refs: Sequence[str]) -> None:
        self.observed += refs


@pytest.fixture
async def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr(redis_list, "RETRY_SECONDS", 0.0)
    return Queue()


@pytest.fixture
async def reader(queue: Queue) -> AsyncIterator[RedisListReader]:
    opened = RedisListReader(queue, queue.observe, EventRules(load_catalogue()))
    yield opened
    await opened.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (many things are awaited so)
            await asyncio.sleep(0)


async def test_what_comes_is_accepted_and_what_is_new_is_observed_at_once(
    queue: Queue, reader: RedisListReader
) -> None:
    queue.known = {"b"}
    queue.push(plain("a"), plain("b"), b"bad")
    reader.open()
    await queue.awaited.wait()
    ((done, ids, entries),) = queue.calls
    assert (done, ids) == (3, ["a", "b"])
    assert [(entry["given"], entry["source"]) for entry in entries] == [("bad", "edw.intake")]
    assert len(queue.observed) == 1


@pytest.mark.parametrize(("lost", "read"), [(MESSAGE_TRIES - 1, ["a"]), (MESSAGE_TRIES, [])])
async def test_a_message_that_its_readers_died_of_is_kept_unread(
    lost: int, read: list[str], queue: Queue, reader: RedisListReader
) -> None:
    queue.lost = lost
    queue.push(plain("a"))
    with structlog.testing.capture_logs() as logs:
        reader.open()
        await queue.awaited.wait()
    ((_, ids, entries),) = queue.calls
    assert ids == read
    if not read:
        (entry,) = entries
        assert (entry["field"], entry["reason"]) == ("message", "5 workers were lost after they had taken it")
        assert entry["given"] == plain("a").decode()
        assert [each["event"] for each in logs] == ["event rejected"]


async def test_of_several_messages_none_is_refused_for_another(queue: Queue, reader: RedisListReader) -> None:
    queue.lost = MESSAGE_TRIES
    queue.push(plain("a"), plain("b"))
    reader.open()
    await queue.awaited.wait()
    assert [ids for _, ids, _ in queue.calls] == [["a", "b"]]


async def test_it_waits_until_there_is_something(queue: Queue, reader: RedisListReader) -> None:
    reader.open()
    await queue.awaited.wait()
    queue.push(plain("a"))
    await until(lambda: bool(queue.calls))


async def test_an_array_is_accepted_by_itself(queue: Queue, reader: RedisListReader) -> None:
    array = b"[" + plain("c") + b"," + plain("d") + b"]"
    queue.push(plain("a"), plain("b"), array, array, plain("e"))
    reader.open()
    await queue.awaited.wait()
    assert [(done, ids) for done, ids, _ in queue.calls] == [
        (2, ["a", "b"]),
        (1, ["c", "d"]),
        (1, ["c", "d"]),
        (1, ["e"]),
    ]


async def test_it_goes_on_when_the_ledger_is_back_and_says_each_once(queue: Queue, reader: RedisListReader) -> None:
    queue.failures = [LedgerUnavailable("away")] * 3 + [LedgerFull("full")] * 3
    queue.push(plain("a"))
    with structlog.testing.capture_logs() as logs:
        reader.open()
        await queue.awaited.wait()
        # It says so once what it took is kept.
        await eventually(lambda: len(logs) >= 2, "it says so")
    assert [each["event"] for each in logs] == ["the plain queue waits for the ledger", "the plain queue is read again"]
    assert [ids for _, ids, _ in queue.calls] == [["a"]]


async def test_a_refusal_is_logged_once_it_is_kept(queue: Queue, reader: RedisListReader) -> None:
    queue.push(b"bad")
    take = queue.take

    async def take_and_fail_later() -> MessageBatch:
        batch = await take()
        if len(queue.calls) == 0 and not queue.failures and queue.given_back < 3:
            queue.given_back += 1
            queue.failures = [LedgerUnavailable("away")]
        return batch

    queue.take = take_and_fail_later  # type: ignore[method-assign]  # accepting fails three times
    with structlog.testing.capture_logs() as logs:
        reader.open()
        await queue.awaited.wait()
    assert [each["event"] for each in logs].count("event rejected") == 1


async def test_a_batch_that_is_not_its_own_any_more_is_taken_anew(queue: Queue, reader: RedisListReader) -> None:
    queue.fenced = 2
    queue.push(plain("a"))
    reader.open()
    await queue.awaited.wait()
    assert [ids for _, ids, _ in queue.calls] == [["a"]]


async def test_a_bug_does_not_end_it(queue: Queue, reader: RedisListReader) -> None:
    queue.failures = [ZeroDivisionError()] * 2
    queue.push(plain("a"))
    with structlog.testing.capture_logs() as logs:
        reader.open()
        await queue.awaited.wait()
    assert [each["log_level"] for each in logs] == ["error", "error"]
    assert [ids for _, ids, _ in queue.calls] == [["a"]]


async def test_one_that_holds_nothing_gives_nothing_back(queue: Queue, reader: RedisListReader) -> None:
    queue.push(plain("a"))
    reader.open()
    await queue.awaited.wait()
    await reader.close()
    assert queue.given_back == 0


async def test_one_that_may_hold_something_gives_it_back_where_it_can(queue: Queue, reader: RedisListReader) -> None:
    queue.failures = [LedgerUnavailable("away")] * 1_000_000
    queue.push(plain("a"))
    reader.open()
    await until(lambda: len(queue.failures) < 1_000_000)
    with structlog.testing.capture_logs() as logs:
        await reader.close()
    assert "not given back" in logs[-1]["event"]
    queue.failures = []
    await reader.close()
    assert queue.given_back == 1
