"""Wake-ups for workers, sent by the running loop: for processes whose broker has an asynchronous sender.

A separate thread (`wakeups`) would cost such a process more than accepting the events, because it and the loop take the
interpreter from each other at every call to the broker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from worker.event_loop.cancellation import end
from worker.intake.wakeups import (
    BROKER_PAUSE_SECONDS,
    BURST,
    CAPACITY,
    EVENTS,
    LANES,
    LINGER_SECONDS,
    BrokerUnavailable,
)
from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.telemetry.readiness import Presence, State

_log = structlog.get_logger("edw.intake")

#: Sends one message from (kind, ids), or raises BrokerUnavailable.
AsyncSend = Callable[[str, Sequence[str]], Awaitable[None]]


class LoopWakeups:
    """Collects ids of events and lanes, and sends those that arrive together in as few messages as possible."""

    def __init__(self, send: AsyncSend) -> None:
        self._send = send
        self._broker = Presence()
        self._waiting: dict[str, list[str]] = {EVENTS: [], LANES: []}
        self._hurried = asyncio.Event()
        self._closing = False
        self._sending: asyncio.Task[None] | None = None
        #: As in GCRA: when the next message would be due if none were sent ahead of time (seconds of the loop's clock).
        self._due_at = 0.0

    def events(self, refs: Sequence[str]) -> None:
        """Announce events in the inbox."""
        self._put(EVENTS, refs)

    def lanes(self, ids: Sequence[str]) -> None:
        """Announce lanes that have work for a worker."""
        self._put(LANES, ids)

    async def close(self, seconds: float = 1.0) -> None:
        """Wait at most `seconds` until all waiting ids are sent, then drop the rest."""
        self._closing = True
        self._hurried.set()
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=seconds)
            await end([self._sending])

    def _put(self, kind: str, ids: Sequence[str]) -> None:
        if not ids or self._closing:
            return
        waiting = self._waiting[kind]
        waiting.extend(ids[: CAPACITY - len(waiting)])
        if len(waiting) >= MAX_IDS_PER_MESSAGE:
            self._hurried.set()
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_waiting())

    async def _send_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while any(self._waiting.values()):
            await self._pause(self._due_at - (BURST - 1) * LINGER_SECONDS - loop.time())
            for kind, waiting in self._waiting.items():
                if waiting:
                    await self._send_some(kind)
            self._due_at = max(self._due_at, loop.time()) + LINGER_SECONDS

    async def _pause(self, seconds: float) -> None:
        """Wait, but not until the end if a message is full or the process stops."""
        if seconds > 0 and not self._hurried.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._hurried.wait()
            except TimeoutError:
                pass
        if not self._closing:
            self._hurried.clear()

    async def _send_some(self, kind: str) -> None:
        waiting = self._waiting[kind]
        ids = waiting[:MAX_IDS_PER_MESSAGE]
        del waiting[:MAX_IDS_PER_MESSAGE]
        if len(waiting) >= MAX_IDS_PER_MESSAGE:
            self._hurried.set()
        try:
            await self._send(kind, ids)
        except BrokerUnavailable as error:
            # Anybody may read /readyz, so only the log contains the address.
            if self._broker.away("it does not take wake-ups", State.DEGRADED):
                _log.warning("broker away", why=str(error))
            await self._wait_for_broker()
        except Exception:  # noqa: BLE001  (a bug must not end the task; the sweeps announce the ids)
            if self._broker.away("it does not take wake-ups", State.DEGRADED):
                _log.exception("cannot send wake-ups")
            await self._wait_for_broker()
        else:
            if self._broker.there():
                _log.info("broker back")

    async def _wait_for_broker(self) -> None:
        if not self._closing:
            await asyncio.sleep(BROKER_PAUSE_SECONDS)
