"""One connection to a broker: bytes out and in, and timers. The session decides what they mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import cast

from deliverers.exhaustion import exhausted
from deliverers.stomp.frames import HEART_BEAT, Frame, FrameReader, NotStomp, Prepared, encode, encode_connect
from deliverers.stomp.stomp_answers import RECEIVED, UNANSWERED, Answer, ConnectionLost, Declined
from deliverers.stomp.stomp_configuration import Account, Address
from deliverers.stomp.stomp_reasons import lost_reason
from deliverers.stomp.stomp_session import (
    HEART_BEAT_MS,
    MOST_PENDING,
    VERSION,
    Accepted,
    Confirmed,
    Ended,
    MessageRejected,
    StompSession,
)

#: Bytes that may wait for the broker to read them; beyond that, senders wait.
HIGH_WATER = 256 * 1024
#: Bytes that trigger a write; fewer are written at the end of the loop's turn.
_BATCH = 64 * 1024
#: Seconds that a broker has to read what was written, once the connection is being closed.
LEAVE_SECONDS = 5.0


class StompConnection(asyncio.Protocol):
    """A shared connection that is opened once and over when it is lost; `ended` is called then."""

    def __init__(self, address: Address, ended: Callable[[StompConnection], None]) -> None:
        self.address = address
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._session: StompSession[asyncio.Future[Answer]] = StompSession(self._loop.time())
        self._reader = FrameReader()
        self._greeting: asyncio.Future[Answer] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._lost: ConnectionLost | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._paused = False
        self._capacity_freed: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._wake = inf

    @property
    def has_capacity(self) -> bool:
        """Return whether a message may be sent at once."""
        return (
            self._lost is None
            and not self._paused
            and self._out_size < HIGH_WATER
            and self._session.pending < MOST_PENDING
        )

    @property
    def is_over(self) -> bool:
        """Return whether the connection has ended and takes nothing more."""
        return self._lost is not None

    @property
    def was_of_use(self) -> bool:
        """Return whether the broker has answered any message."""
        return self._session.proven

    @property
    def was_ended_by_broker(self) -> bool:
        """Return whether the broker ended the connection with an ERROR."""
        return self._lost is not None and self._lost.frame is not None

    async def log_in(self, account: Account) -> Answer:
        """Log in; return `RECEIVED` once the broker agrees. Raises `Unsendable`. The caller has the deadline."""
        headers = {
            "accept-version": VERSION,
            "host": self.address.vhost,
            "heart-beat": f"{HEART_BEAT_MS},{HEART_BEAT_MS}",
        }
        if account.username is not None:
            headers["login"] = account.username
        if account.password is not None:
            headers["passcode"] = account.password.get_secret_value()
        self._write(encode_connect(headers))
        answer = await self._greeting
        # The broker may greet and leave at the same moment.
        return self._lost if self._lost is not None and answer is RECEIVED else answer

    def send(
        self, frame: Prepared, values: tuple[str, ...], headers: Mapping[str, str], body: bytes, deadline: float
    ) -> asyncio.Future[Answer]:
        """Write a message; return a future that holds its `Answer`, at the latest at the deadline (the loop's time).

        The last of the frame's names is `receipt`; `values` are those of the others. Needs `has_capacity`. Raises
        `Unsendable`.
        """
        session, out = self._session, self._out
        receipt = session.next_receipt
        data = frame.encode(headers, body, (*values, receipt))
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        session.sent(receipt, waiter, deadline)
        if not out:
            self._loop.call_soon(self._flush)
        out.append(data)
        self._out_size += len(data)
        if self._out_size >= _BATCH:
            self._flush()
        if deadline < self._wake:
            self._set_timer(deadline)
        return waiter

    async def wait_for_capacity(self) -> None:
        """Wait until the connection may have capacity again, or is over."""
        if self.has_capacity or self.is_over:
            return
        if self._capacity_freed is None:
            self._capacity_freed = self._loop.create_future()
        # Many callers share this future: one that stops waiting must not cancel it for the others.
        await asyncio.shield(self._capacity_freed)

    async def close(self, seconds: float) -> None:
        """Disconnect and close; after `seconds`, a broker that does not read any more is cut off."""
        self._leave("this worker stopped")
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._closed)
        except TimeoutError:
            self.abort("this worker stopped")

    def abort(self, words: str) -> None:
        """Close without a DISCONNECT."""
        self._give_up(ConnectionLost(words))

    # The loop calls the following methods.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        if self._lost is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._lost is not None:
            return
        self._session.note_received(self._loop.time())
        try:
            if receipts := self._reader.receipts(data):
                for waiter in self._session.confirmed(receipts):
                    # A waiter that was cancelled is already done.
                    if not waiter.done():
                        waiter.set_result(RECEIVED)
            else:
                for frame in self._reader.feed(data):
                    self._take(frame)
        except NotStomp as error:
            self._give_up(ConnectionLost(f"{self.address.peer} does not speak STOMP as it should: it sent {error}"))
        if self._capacity_freed is not None and self.has_capacity:
            self._wake_up()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake_up()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        ours = exhausted(exc) if exc else None
        self._end(ConnectionLost(lost_reason(exc, self.address), lack=ours.resource if ours else None))
        if self._leaving is not None:
            self._leaving.cancel()

    def _take(self, frame: Frame) -> None:
        match self._session.receive(frame):
            case Confirmed(waiter):
                _settle(waiter, RECEIVED)
            case MessageRejected(waiter, refused):
                _settle(waiter, Declined(refused))
            case Accepted():
                _settle(self._greeting, RECEIVED)
                self._set_timer(self._session.next_due())
            case Ended(last):
                _settle(self._greeting, Declined(last))
                self._give_up(ConnectionLost("the broker closed the connection", last))
            case None:
                pass

    def _flush(self) -> None:
        if self._out and self._lost is None:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self._session.note_sent(self._loop.time())
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake = when
        self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        due = self._session.due(now := self._loop.time())
        for waiter in due.expired:
            _settle(waiter, UNANSWERED)
        if due.verdict is not None:
            self._give_up(ConnectionLost(f"the connection to {self.address.peer} was given up ({due.verdict})"))
            return
        if due.idle:
            self._leave("nobody used the connection")
            return
        if due.beat:
            # Bytes that wait for the broker to read them are as good a sign of life as a heart-beat.
            if not self._paused:
                self._write(HEART_BEAT)
            self._session.note_heart_beat(now)
        self._set_timer(self._session.next_due())
        self._wake_up()

    def _leave(self, words: str) -> None:
        if self._lost is None:
            self._flush()
            self._write(encode("DISCONNECT", {}))
            self._end(ConnectionLost(words))
            if self._transport is not None:
                self._transport.close()
                # Unwritten bytes would keep the connection open for as long as the broker does not read.
                self._leaving = self._loop.call_later(LEAVE_SECONDS, self._transport.abort)

    def _give_up(self, lost: ConnectionLost) -> None:
        self._end(lost)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, lost: ConnectionLost) -> None:
        if self._lost is not None:
            return
        self._lost = lost
        if self._timer is not None:
            self._timer.cancel()
        self._out.clear()
        self._out_size = 0
        _settle(self._greeting, lost)
        for waiter in self._session.end():
            _settle(waiter, lost)
        self._wake_up()
        self._ended(self)

    def _wake_up(self) -> None:
        if self._capacity_freed is not None and not self._capacity_freed.done():
            self._capacity_freed.set_result(None)
        self._capacity_freed = None


def _settle(waiter: asyncio.Future[Answer], answer: Answer) -> None:
    # A waiter that was cancelled is already done.
    if not waiter.done():
        waiter.set_result(answer)
