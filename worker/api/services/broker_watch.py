"""The broker's state for the API's readiness. The API depends on the ledger; the broker only carries wake-ups."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import structlog
from msgspec import to_builtins

from worker.event_loop.cancellation import end
from worker.telemetry.readiness import Check, Presence, State

_log = structlog.get_logger("edw.api")

#: Seconds between two checks of the broker; connecting to one that is away takes long.
BROKER_SECONDS = 5.0
#: Seconds after which a broker that has not answered is reported as degraded.
SILENT_SECONDS = 2.0


class BrokerWatch:
    """A periodic check of the connection to the broker.

    Args:
        ping: Connects to the broker; raises if it fails.
        is_ledger_redis: Whether the broker is the ledger's own Redis.
    """

    def __init__(self, ping: Callable[[], Awaitable[None]], *, is_ledger_redis: bool = False) -> None:
        self._ping = ping
        self._is_ledger_redis = is_ledger_redis
        self._presence = Presence()
        #: When the pending check began (monotonic seconds); None while none is pending.
        self._asked_at: float | None = None
        self._looked = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start the checks on the running loop."""
        self._watch = asyncio.create_task(self._watch_for_ever())

    async def close(self) -> None:
        """Stop the checks."""
        if self._watch is not None:
            await end([self._watch])

    async def look(self) -> Check:
        """Return the present state of the broker; wait up to SILENT_SECONDS for the first check."""
        if self._watch is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENT_SECONDS):
                    await self._looked.wait()
        silent = 0.0 if self._asked_at is None else monotonic() - self._asked_at
        if silent >= SILENT_SECONDS and self._presence.check.status is State.OK:
            return Check(State.DEGRADED, f"no answer for {silent:.0f} s")
        return self._presence.check

    async def check(self, ledger: Check, workers: Check) -> Check:
        """Return the state of the broker, worded in the light of the other checks."""
        return in_words(await self.look(), ledger, workers, is_ledger_redis=self._is_ledger_redis)

    async def _watch_for_ever(self) -> None:
        while True:
            self._asked_at, detail = monotonic(), ""
            try:
                await self._ping()
                news = self._presence.there()
            except Exception as error:  # noqa: BLE001  (any error of a broker's client)
                news = self._presence.away("it is away", State.DEGRADED)
                # /readyz needs no token, so only the log has the address.
                detail = f"{type(error).__name__}: {error}"
            self._asked_at = None
            self._looked.set()
            if news:
                _log.warning("broker", **to_builtins(self._presence.check), **({"detail": detail} if detail else {}))
            await asyncio.sleep(BROKER_SECONDS)


def in_words(broker: Check, ledger: Check, workers: Check, *, is_ledger_redis: bool) -> Check:
    """Return the check of the broker, with what its state means for the delivery of events."""
    if is_ledger_redis and ledger.status is State.RED:
        return Check(State.DEGRADED, "unknown: it is the ledger's server", ledger.since)
    if broker.status is not State.OK and ledger.status is not State.RED and workers.status is State.OK:
        why = f"{broker.why}; events are delivered all the same, up to seconds later"
        return Check(broker.status, why, broker.since)
    return broker
