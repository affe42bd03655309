"""Queues of waiting messages: single messages become batches, and each message gets its own outcome.

If no request is under way, a message leaves at once, with all others of the same turn of the loop. Otherwise messages
wait until ten are there, until their bytes fill a batch, until the last request ends, or for a few milliseconds,
whichever comes first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

from deliverers.aws_sqs.sqs_batches import MOST_BYTES, MOST_MESSAGES, first_batch
from deliverers.aws_sqs.sqs_messages import Message
from deliverers.aws_sqs.transport import Exchange, current
from deliverers.contract import Outcome

#: Seconds that a message waits for others while requests are under way.
LINGER_SECONDS = 0.003

#: A function that sends messages as one request and returns an outcome for each. The exchange is that of the running
#: task.
Send = Callable[[Sequence[Message], Exchange], Awaitable[Sequence[Outcome]]]


class Waiting:
    """One message on its way. `exchange` is set once the message is being sent."""

    __slots__ = ("exchange", "message", "outcome", "request")

    def __init__(self, message: Message, outcome: asyncio.Future[Outcome]) -> None:
        self.message = message
        self.outcome = outcome
        self.exchange: Exchange | None = None
        self.request: _Request | None = None

    def leave(self) -> None:
        """Give this message up. The others of its request go on; a request without any message left ends."""
        self.outcome.cancel()
        if self.outcome.cancelled() and self.request is not None:
            self.request.end_if_deserted()


class Queue:
    """One queue, for one pair of keys. `drained` is called whenever nothing waits and no request is under way."""

    def __init__(self, send: Send, drained: Callable[[], object]) -> None:
        self._send = send
        self._drained = drained
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Waiting] = deque()
        #: Bytes of the waiting messages.
        self._size = 0
        self._requests: set[_Request] = set()
        self._timer: asyncio.Handle | None = None

    def add(self, message: Message) -> Waiting:
        """Add a message and return its place, whose `outcome` is a future."""
        waiting = Waiting(message, self._loop.create_future())
        self._waiting.append(waiting)
        self._size += message.size
        if len(self._waiting) >= MOST_MESSAGES or self._size >= MOST_BYTES:
            self._flush(full_only=True)
        self._schedule()
        return waiting

    async def close(self, outcome: Outcome) -> None:
        """End all messages with this outcome."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = [request.task for request in self._requests]
        for waiting in (*self._waiting, *(each for request in self._requests for each in request.batch)):
            if not waiting.outcome.done():
                waiting.outcome.set_result(outcome)
        self._waiting.clear()
        self._size = 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _schedule(self) -> None:
        if not self._waiting or self._timer is not None:
            return
        if self._requests:
            self._timer = self._loop.call_later(LINGER_SECONDS, self._due)
        else:
            self._timer = self._loop.call_soon(self._due)

    def _due(self) -> None:
        self._timer = None
        self._flush(full_only=False)
        self._notify_if_drained()

    def _flush(self, full_only: bool) -> None:
        while self._waiting:
            if self._waiting[0].outcome.done():  # its caller has left
                self._take()
                continue
            count, full = first_batch(each.message.size for each in islice(self._waiting, MOST_MESSAGES))
            if full_only and not full:
                break
            taken = [self._take() for _ in range(count)]
            batch = [each for each in taken if not each.outcome.done()]
            self._requests.add(_Request(batch, self._send, self._ended))
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self) -> Waiting:
        taken = self._waiting.popleft()
        self._size -= taken.message.size
        return taken

    def _ended(self, request: _Request) -> None:
        self._requests.discard(request)
        if not self._requests and self._waiting:
            # No request is under way any more, so waiting has no use.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_soon(self._due)
        self._notify_if_drained()

    def _notify_if_drained(self) -> None:
        if not self._requests and not self._waiting:
            self._drained()


class _Request:
    """One SendMessageBatch under way, in a task of its own: a message that is given up does not end the others."""

    __slots__ = ("_send", "batch", "exchange", "task")

    def __init__(self, batch: Sequence[Waiting], send: Send, ended: Callable[[_Request], None]) -> None:
        self.batch = batch
        self.exchange = Exchange()
        self._send = send
        for each in batch:
            each.exchange, each.request = self.exchange, self
        self.task = asyncio.get_running_loop().create_task(self._run())
        # Not in `_run`: a cancellation may come before it ever runs.
        self.task.add_done_callback(lambda _: ended(self))

    def end_if_deserted(self) -> None:
        """Cancel the request if none of its messages is wanted any more."""
        if all(each.outcome.done() for each in self.batch):
            self.task.cancel()

    async def _run(self) -> None:
        current.set(self.exchange)
        try:
            found = await self._send([each.message for each in self.batch], self.exchange)
            for each, outcome in zip(self.batch, found, strict=True):
                if not each.outcome.done():
                    each.outcome.set_result(outcome)
        except Exception as error:  # noqa: BLE001  (a bug: the waiting callers raise it)
            for each in self.batch:
                if not each.outcome.done():
                    each.outcome.set_exception(error)
                    # Mark the error as retrieved, so that a caller who leaves right now causes no warning.
                    each.outcome.exception()
