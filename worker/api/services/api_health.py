"""The health of an API process: whether it is alive, and whether it can serve requests."""

import asyncio
from time import monotonic
from typing import Protocol

import structlog
from msgspec import Struct

from worker.api.services.broker_watch import BrokerWatch
from worker.ledger import LedgerError
from worker.telemetry.readiness import Check, Presence, Readiness, State, readiness

_log = structlog.get_logger("edw.api")

#: Seconds between two checks of the ledger.
LOOK_SECONDS = 1.0
#: Seconds after which a ledger that has not answered counts as away.
SILENT_SECONDS = 2.0

_UNKNOWN = Check(State.DEGRADED, "unknown, since the ledger does not answer")


class Liveness(Struct, frozen=True):
    """The liveness of a process; any answer means that it is alive. `uptime` in seconds."""

    status: State
    uptime: float
    draining: bool


class HealthLedger(Protocol):
    """The part of the ledger that reports its state and the number of workers."""

    async def writable(self) -> None: ...
    async def workers(self) -> int: ...
    async def refuse_over_water(self) -> None: ...


class ApiHealth:
    """The health of an API process and of what it depends on."""

    def __init__(self, ledger: HealthLedger, broker: BrokerWatch) -> None:
        self._ledger = ledger
        self._presence = Presence()
        self._broker = broker
        self._began = monotonic()
        self._looking = asyncio.Lock()
        self._looked_at = -LOOK_SECONDS
        self._seen = Readiness(State.OK, {})
        #: True once the process is stopping.
        self.draining = False

    def alive(self) -> Liveness:
        """Return the liveness of the process."""
        return Liveness(State.OK, round(monotonic() - self._began, 3), self.draining)

    async def ready(self) -> Readiness:
        """Return the readiness; red only if the ledger accepts no writes or this process is stopping."""
        async with self._looking:
            # This needs no token, so the ledger is asked once a second at most, however many requests come.
            if monotonic() - self._looked_at >= LOOK_SECONDS or self.draining:
                self._seen, self._looked_at = await self._look(), monotonic()
        return self._seen

    async def _look(self) -> Readiness:
        ledger = await self._look_at_ledger()
        # Do not wait a second time for a ledger that does not answer.
        workers = _UNKNOWN if ledger.status is State.RED else await self._workers()
        checks = {"ledger": ledger, "workers": workers, "broker": await self._broker.check(ledger, workers)}
        if self.draining:
            checks["process"] = Check(State.RED, "it is stopping")
        return readiness(checks)

    async def _look_at_ledger(self) -> Check:
        status = State.RED
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await self._ledger.writable()
                status = State.DEGRADED
                await self._ledger.refuse_over_water()
            self._presence.there()
        except LedgerError as error:
            if self._presence.away(error.public, status):
                # /readyz needs no token, so only the log has the address.
                _log.warning("ledger away", why=str(error))
        except TimeoutError:
            self._presence.away(f"no answer within {SILENT_SECONDS:g} s", State.RED)
        return self._presence.check

    async def _workers(self) -> Check:
        try:
            workers = await self._ledger.workers()
        except LedgerError:
            return _UNKNOWN
        return Check(State.OK) if workers else Check(State.DEGRADED, 'none is alive: start one with "edw worker"')
