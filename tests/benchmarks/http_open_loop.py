"""An open loop over HTTP: single events, each posted to the API at its time, whatever becomes of the ones before.

Every request has a connection that is free at that moment, or a new one, so a slow answer delays no other event. An
event's id begins with the time for which it was scheduled; a latency counts from there.
"""

import asyncio
from collections.abc import Callable
from selectors import SelectSelector
from time import monotonic_ns
from typing import cast

from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.open_loop import Fed, event_id
from tests.benchmarks.order import OrderPaid
from tests.benchmarks.sink import END_OF_HEAD, request_of
from worker.api.event_documents import PATH

_HOST = "127.0.0.1"
#: An answer that takes longer is lost (seconds).
_ANSWER_SECONDS = 30.0
_ACCEPTED = b"HTTP/1.1 202 "


class HttpProducer:
    """A store's producer: it posts to one API with one token."""

    def __init__(self, port: int, token: str, store_id: str) -> None:
        # epoll's time-outs are whole milliseconds; those of select() are as exact as the kernel's.
        self._runner = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector()))
        self._port = port
        self._head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {_HOST}:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._orders = OrderPaid(store_id)
        self._free: list[_Connection] = []
        self._connections: list[_Connection] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self._failed: list[BaseException] = []

    def close(self) -> None:
        """Close the connections. Repeating is safe."""
        if self._connections:
            self._runner.run(self._abort())
        self._runner.close()

    async def _abort(self) -> None:
        connections, self._connections = self._connections, []
        for each in connections:
            each.abort()
        # The loop closes their sockets in its next turn.
        await asyncio.sleep(0)

    def feed(self, rate: float, seconds: float) -> Fed:
        """Post so many events a second, for so long, and wait for the answers. Raises DeliveriesLost."""
        return self._runner.run(self._feed(rate, round(rate * seconds)))

    async def _feed(self, rate: float, count: int) -> Fed:
        since = monotonic_ns()
        for number in range(count):
            due = since + round(number * 1e9 / rate)
            if (pause := due - monotonic_ns()) > 0:
                await asyncio.sleep(pause / 1e9)
            await self._post(due)
        if self._waiting:
            _, late = await asyncio.wait(self._waiting, timeout=_ANSWER_SECONDS)
            if late:
                raise DeliveriesLost(f"the API did not answer {len(late)} events within {_ANSWER_SECONDS:g} s")
        if self._failed:
            raise self._failed[0]
        return Fed(since, since + round(count * 1e9 / rate), [count])

    async def _post(self, due: int) -> None:
        loop = asyncio.get_running_loop()
        while self._free and self._free[-1].closed:
            self._free.pop()
        if self._free:
            connection = self._free.pop()
        else:
            _, connection = await loop.create_connection(lambda: _Connection(self._free.append), _HOST, self._port)
            self._connections.append(connection)
        event = self._orders.event(event_id(due))
        body = b'{"data":' + event + b"}"
        answered = connection.post(self._head + b"%d" % len(body) + END_OF_HEAD + body)
        self._waiting.add(answered)
        answered.add_done_callback(self._answered)

    def _answered(self, answered: "asyncio.Future[None]") -> None:
        self._waiting.discard(answered)
        if error := answered.exception():
            self._failed.append(error)


class _Connection(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, free: "Callable[[_Connection], None]") -> None:
        self._free = free
        self._unread = b""
        self._answered: asyncio.Future[None] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def post(self, request: bytes) -> "asyncio.Future[None]":
        """Send a request; the future is done once its answer is here, and fails where it is not 202."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def abort(self) -> None:
        """Close it at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, end, body = self._unread.partition(END_OF_HEAD)
        if not end or len(body) < request_of(head)[1] or self._answered is None:
            return
        self._unread = b""
        answered, self._answered = self._answered, None
        if head.startswith(_ACCEPTED):
            answered.set_result(None)
            self._free(self)
        else:
            answered.set_exception(DeliveriesLost(f"the API refused an event: {head[:60]!r} {body[:200]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(DeliveriesLost(f"the API closed a connection: {exc}"))
