"""The attendance of a worker or API process: from it the ledger knows that the process lives, and that time passes."""

import asyncio
from contextlib import suppress
from time import time
from typing import Protocol

import structlog

from worker.domain.ledger_time import LedgerClock
from worker.event_loop.cancellation import end
from worker.ledger import LedgerError
from worker.telemetry import metrics
from worker.telemetry.loop_lag import LoopLag

_log = structlog.get_logger("edw.telemetry")

#: Seconds between two announcements.
ATTEND_SECONDS = 1.0


class Attended(Protocol):
    """The part of the ledger that processes attend (worker.ledger.membership)."""

    async def attend(self, kind: str, build: str, lag: float) -> LedgerClock: ...
    async def leave(self, kind: str) -> None: ...


class Attendance:
    """Attends the ledger for a process of a kind (`worker` or `api`) until it is closed."""

    def __init__(self, membership: Attended, kind: str, lag: LoopLag, pause: float = ATTEND_SECONDS) -> None:
        self._membership = membership
        self._kind = kind
        self._lag = lag
        self._pause = pause
        self._attending: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start on the running loop, even if the ledger does not answer."""
        self._attending = asyncio.create_task(self._for_ever())

    async def close(self) -> None:
        """Stop, and withdraw the announcement, so that the process holds back no newer version."""
        if self._attending is not None:
            await end([self._attending])
            with suppress(LedgerError):
                await self._membership.leave(self._kind)

    async def _for_ever(self) -> None:
        while True:
            try:
                clock = await self._membership.attend(self._kind, metrics.build_version(), self._lag.worst)
                metrics.observe_clock(clock, time())
            except LedgerError as error:
                _log.debug("not attended", why=str(error))
            except Exception:  # noqa: BLE001  (a timer that dies would let this process count as dead)
                _log.exception("cannot attend")
            await asyncio.sleep(self._pause)
