"""aiohttp's server connection, with limits on time and on the head's size, and without automatic decompression.

It uses attributes of aiohttp that begin with an underscore, because they have no public name. The tests of this package
fail if a version of aiohttp changes them.
"""

import asyncio
import string
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, hdrs, web

from worker.http_server.callers import network_of
from worker.http_server.connections import Connections, Limit, Patience
from worker.http_server.limits import (
    DISCARDED_BYTES,
    DISCARDED_SECONDS,
    HEAD_BYTES,
    PIPELINED_MOST,
    HttpLimits,
)
from worker.http_server.whole_answer import PRODUCT, WholeAnswer

if TYPE_CHECKING:
    from logging import Logger

#: Makes the answer to a request that no handler sees, from a status and a detail.
Refuse = Callable[[int, str], web.Response]

_HEAD_END = b"\r\n\r\n"
_SHOWN = frozenset(string.printable) - frozenset(string.whitespace) | {" "}
_SHOWN_MOST = 80


class _Phase(Enum):
    #: Between two requests.
    IDLE = auto()
    #: Before the first request, or within the head of any.
    HEAD = auto()
    #: A request is being handled or waits to be handled.
    BUSY = auto()


class BoundedHandler(web.RequestHandler):
    """A connection that limits the time and memory of its client."""

    __slots__ = (
        "_awaits_continue",
        "_blocked_at",
        "_body",
        "_closing_at",
        "_discarding",
        "_head_bytes",
        "_limits",
        "_line",
        "_open",
        "_phase",
        "_refuse",
        "_since",
        "_unsent",
        "network",
    )

    def __init__(
        self,
        manager: web.Server,
        connections: Connections,
        limits: HttpLimits,
        refuse: Refuse,
        *,
        loop: asyncio.AbstractEventLoop,
        logger: "Logger",
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            logger=logger,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=0,
            auto_decompress=False,
            access_log=cast("Logger", None),  # aiohttp accepts None for no log, but its types do not
        )
        self._max_msg_queue_size, self._msg_queue_resume_size = PIPELINED_MOST, PIPELINED_MOST // 2
        self._open = connections
        self._limits = limits
        self._refuse = refuse
        self._line: asyncio.Transport | None = None
        self._phase, self._since = _Phase.HEAD, loop.time()
        self._head_bytes = 0
        #: The body of the latest request.
        self._body: StreamReader | None = None
        self._awaits_continue = False
        self._blocked_at, self._unsent = 0.0, 0
        self._closing_at: float | None = None
        #: Bytes discarded since a request was refused; None while none is.
        self._discarding: int | None = None
        self.network = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        line = cast(asyncio.Transport, transport)
        peer = line.get_extra_info("peername")
        self.network = network_of(str(peer[0]) if isinstance(peer, tuple) and peer else "")
        self._line, self._since = line, self._loop.time()
        if not self._open.add(self):
            self.cut(Limit.CONNECTIONS)
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        if self._discarding is not None:
            self._discard(len(data))
            return
        before, in_body = self._request_count, not self._has_body
        super().data_received(data)
        if self._request_count != before:
            self._phase, self._head_bytes = _Phase.BUSY, 0
            if self._messages:
                self._body = self._messages[-1][1]
            if self._body is EMPTY_PAYLOAD and not data.endswith(_HEAD_END):
                # A part of the next head came with this one. After a body, its size is unknown; the idle limit applies.
                self._head_bytes = len(data.rpartition(_HEAD_END)[2]) if _HEAD_END in data else 0
        elif data and not in_body:
            self._begin_head(len(data))

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp calls this after each read of a body, and parses no bytes again, even if reading was never paused.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._measure_unsent(self._loop.time())

    def begin(self, *, awaits_continue: bool) -> None:
        """Note that a request is handled, and whether its client waits for `100 Continue`."""
        self._awaits_continue = awaits_continue

    def ask_for_body(self) -> None:
        """Send `100 Continue` to a client that waits for it (RFC 9110, section 10.1.1)."""
        if self._awaits_continue and self.transport is not None and not self._has_body:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._awaits_continue = False

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; then discard the rest of a short request body, or close the connection after a long one."""
        content = request.content
        whole: Any = resp
        if isinstance(whole, WholeAnswer):
            if content.is_eof() and not self._upgraded and whole.fits(request):
                return resp, await self._write_whole(whole)
            resp = whole.response()
        resp.headers.setdefault(hdrs.SERVER, PRODUCT)
        if not content.is_eof() and (self._awaits_continue or (request.content_length or 0) > DISCARDED_BYTES):
            resp.force_close()
        found = await super().finish_response(request, resp, start_time)
        if not content.is_eof() and not found[1]:
            await self._discard_body(content, is_last=not resp.keep_alive)
        self._note_answered()
        return found

    async def _write_whole(self, answer: WholeAnswer) -> bool:
        """Send an answer in one write; return whether the client is gone."""
        if self.transport is None or self.transport.is_closing():
            return True
        self.transport.write(answer.written())
        if self.writing_paused:
            try:
                await self._drain_helper()
            except ConnectionError:
                return True
        self._note_answered()
        return False

    def _note_answered(self) -> None:
        if not self._messages:
            self._phase = _Phase.HEAD if self._head_bytes else _Phase.IDLE
        self._since, self._awaits_continue = self._loop.time(), False

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer bytes that are not HTTP, in the shape of this server's errors; aiohttp logs them."""
        super().handle_error(request, status, exc, message)
        answer = self._refuse(status, _detail(status, message))
        answer.force_close()
        return answer

    def patience(self) -> Patience:
        """Return what this connection waits for, which decides whether it makes way for a new one."""
        line = self._line
        if self._phase is not _Phase.BUSY or self.writing_paused or line is None or line.is_closing():
            return Patience.WAITING
        return Patience.WORKING if self._has_body else Patience.UPLOADING

    def overdue(self, now: float) -> Limit | None:
        """Return the limit that the client exceeds at `now` (seconds of the loop's clock), or None."""
        limits, waited = self._limits, now - self._since
        if self._line is not None and self._line.is_closing():
            # The transport still has bytes for the client, which may never read them.
            self._closing_at = now if self._closing_at is None else self._closing_at
            return Limit.WRITE if now - self._closing_at >= limits.write_seconds else None
        if self.writing_paused:
            return Limit.WRITE if self._reads_too_slowly(now) else None
        if self._phase is _Phase.HEAD:
            return Limit.HEAD if waited >= limits.head_seconds else None
        return Limit.IDLE if self._phase is _Phase.IDLE and waited >= limits.idle_seconds else None

    def cut(self, limit: Limit) -> None:
        """Close the connection at once."""
        self._open.count_cut(limit)
        if self._line is not None:
            self._line.abort()

    @property
    def _has_body(self) -> bool:
        """Whether the whole body of the latest request has arrived."""
        return self._body is None or self._body.is_eof()

    def _begin_head(self, size: int) -> None:
        if self._phase is _Phase.IDLE:
            self._phase, self._since = _Phase.HEAD, self._loop.time()
        self._head_bytes += size
        if self._head_bytes <= HEAD_BYTES:
            return
        if self._phase is _Phase.BUSY:
            # The client would take this answer for that of an earlier request.
            self.cut(Limit.HEAD_BYTES)
            return
        self._refuse_head()

    def _refuse_head(self) -> None:
        self._discarding = 0
        self._open.count_cut(Limit.HEAD_BYTES)
        answer = self._refuse(431, f"the head of the request is larger than {HEAD_BYTES:,} bytes")
        body = answer.body if isinstance(answer.body, bytes) else b""
        head = (
            f"HTTP/1.1 {answer.status} {answer.reason}\r\nContent-Type: {answer.headers[hdrs.CONTENT_TYPE]}\r\n"
            f"Content-Length: {len(body)}\r\nServer: {PRODUCT}\r\nConnection: close\r\n\r\n"
        )
        if self.transport is not None:
            self.transport.write(head.encode() + body)
            self.transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discarding = (self._discarding or 0) + size
        if self._discarding > DISCARDED_BYTES and self._line is not None:
            self._line.abort()

    async def _discard_body(self, content: StreamReader, *, is_last: bool) -> None:
        if is_last and self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()
        left = DISCARDED_BYTES
        try:
            async with asyncio.timeout(DISCARDED_SECONDS):
                while left > 0 and not content.at_eof():
                    left -= len(await content.readany())
        except (TimeoutError, OSError, web.RequestPayloadError):
            # aiohttp closes a connection with an unread body.
            return

    def _measure_unsent(self, now: float) -> None:
        self._blocked_at = now
        self._unsent = self._line.get_write_buffer_size() if self._line is not None else 0

    def _reads_too_slowly(self, now: float) -> bool:
        if now - self._blocked_at < self._limits.write_seconds:
            return False
        before = self._unsent
        self._measure_unsent(now)
        return before - self._unsent < self._limits.write_bytes


def _detail(status: int, message: str | None) -> str:
    """Return the error for the client: aiohttp's reason without the bytes that it quotes."""
    if status != 400:
        return "the request could not be answered"
    reason = reason_of(message or "")
    return f"malformed HTTP request: {reason}" if reason else "malformed HTTP request"


def reason_of(message: str) -> str:
    """Return aiohttp's reason without the bytes that it quotes, which may contain a token."""
    reason = message.replace("\n", ":").partition(":")[0].partition('"')[0].strip()
    return "".join(each for each in reason if each in _SHOWN)[:_SHOWN_MOST]


def protocol_of(request: web.BaseRequest) -> "BoundedHandler | None":
    """Return the connection of a request; None if a server other than ours runs the application."""
    protocol: Any = request.protocol
    return protocol if isinstance(protocol, BoundedHandler) else None
