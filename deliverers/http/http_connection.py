"""One connection to a receiver: a request out, its answer in, and nothing else.

A connection that receives anything while no request is under way is closed: the bytes would look like the next answer
(RFC 9112, section 9.2). An answer counts once its request was written; a refusal may come earlier, such as a 413 while
a large body is being sent.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import cast

from deliverers.http.response import AnswerReader

#: Bodies up to this size (bytes) are copied, so that head and body leave in one packet.
_JOINED_BYTES = 64 * 1024


class ExchangeEnd(Enum):
    """How an exchange ended."""

    #: The reader has the answer, or why it is none.
    ANSWERED = auto()
    #: The deadline passed.
    TIMED_OUT = auto()
    #: The connection failed; `HttpConnection.error` has the error.
    LOST = auto()
    #: The receiver answered 2xx and did not take the whole request.
    UNSENT = auto()
    #: This process is closing.
    INTERRUPTED = auto()


class HttpConnection(asyncio.Protocol):
    """A connection that carries one exchange at a time. `lost` is called once it has ended."""

    def __init__(self, sock: socket.socket, lost: Callable[[HttpConnection], None]) -> None:
        self.reader = AnswerReader()
        self.error: Exception | None = None
        #: Whether the sender has seen an answer of this connection.
        self.has_answered = False
        #: The address of the other end; empty if it is unknown.
        self.peer = _peer_of(sock)
        #: When the first byte of the current answer arrived, by the loop's clock.
        self.first_at: float | None = None
        self._loop = asyncio.get_running_loop()
        #: Reports whether the socket has received anything, or was closed.
        self._received = select.poll()
        self._received.register(sock, select.POLLIN)
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[ExchangeEnd] | None = None
        #: The timer outlives an exchange that needs it no more, because a timer is expensive.
        self._timer: asyncio.TimerHandle | None = None
        self._wake = inf
        self._deadline = inf
        self._is_tunnel = False
        #: Whether the answer is complete and the request is not yet written.
        self._is_early = False
        self._is_over = False
        #: Whether bytes came while no request was under way.
        self._was_unasked = False

    @property
    def transport(self) -> asyncio.Transport:
        """Return the transport. Raises `RuntimeError` before there is one."""
        if self._transport is None:
            raise RuntimeError("the connection has no transport yet")
        return self._transport

    def secured(self, transport: asyncio.Transport) -> None:
        """Take the transport over TLS, in place of the one to the proxy."""
        self._transport = transport
        self._is_tunnel = False
        # The parser of the proxy's answer has ended.
        self.reader = AnswerReader()

    def is_fit(self) -> bool:
        """Return whether the connection is open and has received nothing since its last answer.

        This asks the socket: the loop may not have read yet what has arrived. Over TLS that may be a session ticket;
        then a new connection is a small price.
        """
        if self._is_over or self._waiter is not None or self.transport.is_closing():
            return False
        return not self._received.poll(0)

    def exchange(
        self, head: bytes, body: bytes, limit: int, deadline: float, *, bodiless: bool = False, tunnel: bool = False
    ) -> asyncio.Future[ExchangeEnd]:
        """Send a request; return a future that holds how the exchange ended.

        Args:
            head: The encoded head.
            body: The body.
            limit: Bytes of the answer's body that are read at most.
            deadline: A time of the loop.
            bodiless: Whether the answer ends with its head.
            tunnel: Whether the connection stays open after the answer, as a tunnel.
        """
        self.reader.begin(limit, bodiless)
        self.first_at = None
        self._is_tunnel = tunnel
        waiter = self._waiter = self._loop.create_future()
        if self._is_over or self.transport.is_closing():
            self._end_at_once()
            return waiter
        self._deadline = deadline
        if deadline < self._wake:
            self._set_timer(deadline)
        transport = self.transport
        if len(body) <= _JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return waiter

    def _end_at_once(self) -> None:
        """End an exchange whose connection ended before its request could be written."""
        if self.error is not None:
            self._settle(ExchangeEnd.LOST)
            return
        if self._was_unasked:
            self.reader.refuse()
        self.reader.close()
        self._settle(ExchangeEnd.ANSWERED)

    def _set_timer(self, when: float) -> None:
        self._stop_timer()
        self._wake = when
        self._timer = self._loop.call_at(when, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._wake = inf

    def _tick(self) -> None:
        due = self._wake
        self._stop_timer()
        if self._waiter is None:
            return
        if self._deadline > due:
            # The timer was an earlier exchange's.
            self._set_timer(self._deadline)
        else:
            self._settle(ExchangeEnd.TIMED_OUT)

    def interrupt(self) -> None:
        """End the exchange: this process is closing."""
        self._settle(ExchangeEnd.INTERRUPTED)

    def close(self) -> None:
        """Close the connection in order."""
        self._is_over = True
        self._stop_timer()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._is_over = True
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    # The loop calls the following methods.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._is_over:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self._was_unasked = True
            self.abort()
            return
        if self.first_at is None:
            self.first_at = self._loop.time()
        reader = self.reader
        reader.feed(data)
        if reader.done:
            self._answered()

    def eof_received(self) -> None:
        if self._waiter is None:
            self.abort()
            return
        self.reader.close()
        self._answered()

    def resume_writing(self) -> None:
        if self._is_early:
            # Later: asyncio's transport is not to be closed while it calls this.
            self._loop.call_soon(self._settle, ExchangeEnd.ANSWERED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._stop_timer()
        self.error = exc
        self._lost(self)
        if self._waiter is None:
            return
        if self._is_early:
            self._settle(ExchangeEnd.UNSENT)
        elif exc is None:
            self.reader.close()
            self._settle(ExchangeEnd.ANSWERED)
        else:
            self._settle(ExchangeEnd.LOST)

    def _answered(self) -> None:
        status = self.reader.status or 0
        if self._is_early:
            # Surplus, or the end, while the request is still being written.
            return
        if not self._is_tunnel and self.transport.get_write_buffer_size():
            self.reader.reusable = False
            if 200 <= status < 300:
                self._is_early = True
                # Have `resume_writing` called as soon as all is written.
                self.transport.set_write_buffer_limits(0)
                return
        self._settle(ExchangeEnd.ANSWERED)

    def _settle(self, ended: ExchangeEnd) -> None:
        waiter, self._waiter = self._waiter, None
        if self._is_early or not (ended is ExchangeEnd.ANSWERED and (self.reader.reusable or self._is_tunnel)):
            self.abort()
        # A waiter that was cancelled is already done.
        if waiter is not None and not waiter.done():
            waiter.set_result(ended)


def _peer_of(sock: socket.socket) -> str:
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return ""
