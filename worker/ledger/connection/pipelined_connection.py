"""One connection to Redis that many calls share: each is sent at once, and replies arrive in the calls' order.

A call costs a fraction of one by redis-py: no connection is lent, no stream is read, and one timer serves all calls.
"""

import asyncio
import select
from collections import deque
from collections.abc import Callable
from typing import Any

from hiredis import PushNotification, Reader, pack_command
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse, MasterDownError, ReadOnlyError
from redis.exceptions import TimeoutError as TimedOut

from worker.ledger.connection.handshake import OpenedConnection

#: What a command consists of.
Word = bytes | str | int
_CLOSED = "the connection was closed"
_DEMOTED = "it is a replica now"
_INCOMPLETE = object()
# Linux reports the end of a connection apart from bytes that wait.
_ENDED = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


class PipelinedConnection(asyncio.Protocol):
    """A connection from connection_opened() on. No call is repeated: only its caller can decide that.

    Args:
        timeout: How long a call waits for its reply (seconds).
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.loop = asyncio.get_running_loop()
        # Replies become the exceptions that redis-py raises, so that redis_errors.py knows them.
        to_error: Callable[[str], Exception] = DefaultParser.parse_error
        self._replies = Reader(protocolError=InvalidResponse, replyError=to_error, notEnoughData=_INCOMPLETE)
        # Calls without a reply, with their deadlines; a call that was cancelled or timed out stays for its reply.
        self._calls: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._retired = False
        self._lost = self.loop.create_future()

    def opened(self, opened: OpenedConnection) -> None:
        """Use a connection that has this protocol."""
        self._opened, self._transport = opened, opened.transport
        self._poll = select.poll()
        if (descriptor := self._transport.get_extra_info("socket")) is not None:
            self._poll.register(descriptor.fileno(), _ENDED)

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, so that every call has ended."""
        return self._lost.done()

    @property
    def usable(self) -> bool:
        """Whether a further call may be sent."""
        if self._retired or self._transport.is_closing():
            return False
        # The loop notices the end of a connection only in its next turn. While replies are awaited, it looks often.
        return bool(self._calls) or not self._has_ended()

    def _has_ended(self) -> bool:
        try:
            return bool(self._poll.poll(0))
        except OSError:
            # poll(2) refuses any number of files that is above the limit, even for one that is open already.
            return False

    def send(self, words: tuple[Word, ...]) -> "asyncio.Future[Any]":
        """Send a command, and return the future of its reply. Raises ConnectionError of redis-py if it was closed."""
        reply, deadline = self.loop.create_future(), self.loop.time() + self._timeout
        try:
            # Its annotation has a tuple of one word.
            self._transport.write(pack_command(words))  # type: ignore[arg-type]  # as above
        except RuntimeError as error:
            # uvloop raises a RuntimeError for a transport that was just closed.
            raise Disconnected(_CLOSED) from error
        self._calls.append((reply, deadline))
        if self._timer is None:
            self._timer = self.loop.call_at(deadline, self._check_deadlines)
        return reply

    async def close(self) -> None:
        """Close the connection; calls without a reply fail."""
        self._retired = True
        self._transport.abort()
        await self._lost

    def data_received(self, data: bytes) -> None:
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not _INCOMPLETE:
                if not isinstance(reply, PushNotification):
                    self._match(reply)
        except (InvalidResponse, IndexError):
            # Not Redis's protocol, or a reply that nobody asked for: no reply after it can be trusted.
            self._retired = True
            self._transport.abort()
        if self._retired and not self._calls:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._retired = True
        if self._timer is not None:
            self._timer.cancel()
        for reply, _ in self._calls:
            if not reply.done():
                reply.set_exception(Disconnected(f"{_CLOSED}: {exc}" if exc else _CLOSED))
        self._calls.clear()
        del self._opened
        if not self._lost.done():
            self._lost.set_result(None)

    def _match(self, answer: Any) -> None:
        reply, _ = self._calls.popleft()
        if isinstance(answer, ReadOnlyError | MasterDownError):
            # A new connection to the same address may reach the master. Calls that were sent get their replies.
            self._retired = True
            answer = Disconnected(_DEMOTED)
        if reply.done():
            return
        if isinstance(answer, Exception):
            reply.set_exception(answer)
        else:
            reply.set_result(answer)

    def _check_deadlines(self) -> None:
        self._timer, now = None, self.loop.time()
        for reply, deadline in self._calls:
            if reply.done():
                continue
            if deadline > now:
                self._timer = self.loop.call_at(deadline, self._check_deadlines)
                return
            reply.set_exception(TimedOut(f"no reply within {self._timeout:g} s"))
            # A later call may still get its reply here, but a new one finds another connection.
            self._retired = True
        if self._retired:
            self._transport.abort()
