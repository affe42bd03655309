"""Whether this process is well (`/healthz`), and whether requests should come here (`/readyz`)."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from time import monotonic
from typing import Protocol

import structlog
from msgspec import UNSET, Struct, UnsetType, to_builtins

from worker.api.calls import Call, Reply
from worker.ending import end
from worker.ledger import LedgerError

_log = structlog.get_logger("edw.api")

#: The ledger is looked at once in so many seconds.
LOOK_SECONDS = 1.0
#: The broker is looked at once in so many seconds: connecting to one that is away takes its time.
BROKER_SECONDS = 5.0


class State(StrEnum):
    """`degraded` takes requests: what is accepted is in the ledger, and is delivered later."""

    OK = "ok"
    DEGRADED = "degraded"
    RED = "red"


class Check(Struct, frozen=True):
    """One thing that was looked at, and what is wrong with it."""

    status: State
    why: str | UnsetType = UNSET


_UNKNOWN = Check(State.DEGRADED, "unknown, since the ledger does not answer")


class Readiness(Struct, frozen=True):
    """The worst of the checks, and each of them."""

    status: State
    checks: dict[str, Check]


class Liveness(Struct, frozen=True):
    """A process that answers at all; `uptime` in seconds."""

    status: State
    uptime: float
    draining: bool


class Store(Protocol):
    """What is asked of the ledger."""

    async def writable(self) -> None: ...
    async def workers(self) -> int: ...
    async def refuse_over_water(self) -> None: ...


class Health:
    """Looks at what the API stands on. `ping` connects to the broker, and raises where that fails; it may block."""

    def __init__(self, store: Store, ping: Callable[[], None]) -> None:
        self._store = store
        self._ping = ping
        self._broker = Check(State.OK)
        self._watch: asyncio.Task[None] | None = None
        self._began = monotonic()
        self._looking = asyncio.Lock()
        self._looked_at = -LOOK_SECONDS
        self._seen = Readiness(State.OK, {})
        #: True once the process was told to stop.
        self.draining = False

    def open(self) -> None:
        """Begins to watch the broker, on the running loop."""
        self._watch = asyncio.create_task(self._watch_broker())

    async def close(self) -> None:
        """Stops watching."""
        if self._watch is not None:
            await end([self._watch])

    def alive(self) -> Liveness:
        """How the process is."""
        return Liveness(State.OK, round(monotonic() - self._began, 3), self.draining)

    async def ready(self) -> Readiness:
        """Red only where the ledger takes no writes, or this process stops."""
        async with self._looking:
            # Nobody needs a token for it: however many ask, the ledger is asked once a second.
            if monotonic() - self._looked_at >= LOOK_SECONDS or self.draining:
                self._seen, self._looked_at = await self._look(), monotonic()
        return self._seen

    async def _look(self) -> Readiness:
        ledger = await self._ledger()
        # One that does not answer is not waited for twice.
        workers = _UNKNOWN if ledger.status is State.RED else await self._workers()
        checks = {"ledger": ledger, "workers": workers, "broker": self._broker}
        if self.draining:
            checks["process"] = Check(State.RED, "it was told to stop")
        worst = max((check.status for check in checks.values()), key=list(State).index)
        return Readiness(worst, checks)

    async def _ledger(self) -> Check:
        try:
            await self._store.writable()
        except LedgerError as error:
            return Check(State.RED, str(error))
        try:
            await self._store.refuse_over_water()
        except LedgerError as error:
            return Check(State.DEGRADED, str(error))
        return Check(State.OK)

    async def _workers(self) -> Check:
        try:
            workers = await self._store.workers()
        except LedgerError:
            return _UNKNOWN
        return Check(State.OK) if workers else Check(State.DEGRADED, 'none is alive: start one with "edw worker"')

    async def _watch_broker(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._ping)
                seen = Check(State.OK)
            except Exception as error:  # noqa: BLE001  (whatever a broker's client raises)
                why = f"away ({type(error).__name__}: {error}); events are delivered all the same, up to seconds later"
                seen = Check(State.DEGRADED, why)
            if seen.status is not self._broker.status:
                _log.warning("broker", **to_builtins(seen))
            self._broker = seen
            await asyncio.sleep(BROKER_SECONDS)


async def healthz(call: Call) -> Reply:
    """Whether the process answers."""
    return Reply(call.rooms.health.alive())


async def readyz(call: Call) -> Reply:
    """Whether requests should come here."""
    readiness = await call.rooms.health.ready()
    return Reply(readiness, 503 if readiness.status is State.RED else 200)
