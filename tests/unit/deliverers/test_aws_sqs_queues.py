"""When messages leave: a queue whose sending the tests hold in their hands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from deliverers.aws_sqs.queues import LINGER_SECONDS, Queue, Waiting
from deliverers.aws_sqs.sqs_messages import Message
from deliverers.aws_sqs.transport import Exchange, current
from deliverers.contract import Delivered, Outcome, Unreachable

#: Seconds; what should happen has happened by then, even on a busy machine.
PATIENCE = 10.0


class Sender:
    """Sends when it is let; `sent` has the bodies of each request."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.go = asyncio.Event()
        self.cancelled = 0
        self.drained = asyncio.Event()
        self.stirred = asyncio.Event()
        self.queue = Queue(self, self.drained.set)

    async def __call__(self, messages: Sequence[Message], exchange: Exchange) -> Sequence[Outcome]:
        assert current.get() is exchange
        self.sent.append([each.body for each in messages])
        self.stirred.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [Delivered(200, each.body) for each in messages]

    def add(self, *bodies: str, size: int = 100) -> list[Waiting]:
        return [self.queue.add(Message(body, size)) for body in bodies]

    async def ended(self, waiting: Sequence[Waiting]) -> list[Outcome]:
        async with asyncio.timeout(PATIENCE):
            return [await each.outcome for each in waiting]

    async def has_sent(self, requests: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.sent) < requests:
                self.stirred.clear()
                await self.stirred.wait()


def letters(count: int) -> list[str]:
    return [chr(ord("a") + n) for n in range(count)]


async def test_what_comes_in_one_turn_leaves_together_in_the_next() -> None:
    sender = Sender()
    waiting = sender.add("a", "b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sender.sent == [["a", "b"]]
    sender.go.set()
    assert await sender.ended(waiting) == [Delivered(200, "a"), Delivered(200, "b")]
    await asyncio.wait_for(sender.drained.wait(), PATIENCE)


async def test_ten_do_not_wait_for_the_next_turn() -> None:
    sender = Sender()
    sender.add(*letters(23))
    await asyncio.sleep(0)
    assert sender.sent == [letters(23)[:10], letters(23)[10:20]]
    await sender.has_sent(3)
    assert sender.sent[2] == letters(23)[20:]


async def test_a_full_batchs_bytes_do_not_wait_either() -> None:
    sender = Sender()
    sender.add("a", "b", "c", size=100_000)
    await asyncio.sleep(0)
    assert sender.sent == [["a", "b"]]
    await sender.has_sent(2)
    assert sender.sent[1] == ["c"]


async def test_what_comes_while_a_request_is_under_way_lingers_for_company() -> None:
    sender = Sender()
    sender.add("a")
    await sender.has_sent(1)
    # A loop runs its timers in the order of their times, however late it is.
    half_over = asyncio.Event()
    asyncio.get_running_loop().call_later(LINGER_SECONDS / 2, half_over.set)
    sender.add("b")
    await asyncio.sleep(0)
    sender.add("c")
    assert len(sender.sent) == 1
    await sender.has_sent(2)
    assert half_over.is_set()
    assert sender.sent[1] == ["b", "c"]


async def test_the_last_requests_end_ends_the_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deliverers.aws_sqs.queues.LINGER_SECONDS", 3600.0)
    sender = Sender()
    first = sender.add("a")
    await sender.has_sent(1)
    second = sender.add("b")
    sender.go.set()
    await sender.ended((*first, *second))
    assert sender.sent == [["a"], ["b"]]


async def test_who_has_left_is_not_sent() -> None:
    sender = Sender()
    waiting = sender.add(*letters(4))
    waiting[0].leave()
    waiting[2].leave()
    await sender.has_sent(1)
    assert sender.sent == [["b", "d"]]


async def test_a_queue_that_everybody_has_left_is_drained_and_sends_nothing() -> None:
    sender = Sender()
    for each in sender.add("a", "b"):
        each.leave()
    await asyncio.wait_for(sender.drained.wait(), PATIENCE)
    assert sender.sent == []


async def test_a_request_goes_on_for_those_who_stay_and_ends_with_the_last() -> None:
    sender = Sender()
    waiting = sender.add(*letters(3))
    await sender.has_sent(1)
    waiting[0].leave()
    waiting[1].leave()
    await asyncio.sleep(0)
    assert sender.cancelled == 0
    waiting[2].leave()
    await asyncio.wait_for(sender.drained.wait(), PATIENCE)
    assert sender.cancelled == 1


async def test_a_request_that_is_left_before_it_began_leaves_nothing_behind() -> None:
    sender = Sender()
    waiting = sender.add(*letters(10))
    for each in waiting:
        each.leave()
    await asyncio.wait_for(sender.drained.wait(), PATIENCE)
    assert sender.sent == []


async def test_a_bug_is_everybodys_who_waits() -> None:
    async def broken(messages: Sequence[Message], exchange: Exchange) -> Sequence[Outcome]:
        raise ZeroDivisionError

    queue = Queue(broken, lambda: None)
    waiting = [queue.add(Message("a", 1)), queue.add(Message("b", 1))]
    for each in waiting:
        with pytest.raises(ZeroDivisionError):
            await each.outcome


async def test_too_few_outcomes_are_a_bug_and_leave_nobody_waiting() -> None:
    async def forgetful(messages: Sequence[Message], exchange: Exchange) -> Sequence[Outcome]:
        return [Delivered(200, "")]

    queue = Queue(forgetful, lambda: None)
    waiting = [queue.add(Message("a", 1)), queue.add(Message("b", 1))]
    assert isinstance(await waiting[0].outcome, Delivered)
    with pytest.raises(ValueError, match="zip"):
        await waiting[1].outcome


async def test_closing_gives_everybody_an_outcome() -> None:
    sender = Sender()
    under_way = sender.add("a")
    await sender.has_sent(1)
    lingering = sender.add("b")
    await sender.queue.close(Unreachable("closing"))
    assert await sender.ended((*under_way, *lingering)) == [Unreachable("closing")] * 2
    assert sender.cancelled == 1
    assert sender.sent == [["a"]]
