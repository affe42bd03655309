"""The health of a worker process: whether it is alive, and whether it can work.

It is alive as long as its event loop and its timers run. A ledger or broker that is away is no reason to restart it:
the process keeps its outcomes, and continues when they are back. Until then, its readiness shows that it waits.
"""

from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from worker.telemetry.readiness import Check, Presence, Readiness, State, readiness, worst

#: Seconds without a finished step after which the timers count as dead. A call to the ledger ends much earlier.
STALE_TURN_SECONDS = 60.0
#: Seconds beyond the pause of the timers after which a ledger that has answered none of them counts as away.
SILENT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The health of a worker process; `last_sweep_age` in seconds, negative before the first sweep."""

    well: bool
    last_sweep_age: float
    in_flight: int
    draining: bool


class Timers(Protocol):
    """The part of the sweeper that shows when its timers ran; times in monotonic seconds."""

    @property
    def pause(self) -> float:
        """The pause between two sweeps (seconds)."""
        ...

    @property
    def answered_at(self) -> float:
        """The time when the ledger last answered any timer."""
        ...

    @property
    def swept_at(self) -> float:
        """The time when the ledger last answered a sweep."""
        ...

    @property
    def turned_at(self) -> float:
        """The time when a timer's step last ended, with or without success."""
        ...


class InFlightView(Protocol):
    """The part of the deliveries that shows what is in flight."""

    @property
    def in_flight(self) -> int: ...
    @property
    def draining(self) -> bool: ...


class WorkerHealth:
    """The health of a worker process: its parts report to it, and the probes read it."""

    def __init__(self) -> None:
        self.ledger = Presence(Check(State.RED, "not reached yet"))
        #: The broker as the consumer of Celery's messages sees it, and as the sender of wake-ups does.
        self.messages = Presence(Check(State.DEGRADED, "not reached yet"))
        self.wakeups = Presence()
        self._timers: Timers | None = None
        self._pool: InFlightView | None = None

    def begin(self, timers: Timers, pool: InFlightView) -> None:
        """Note that the ledger was reached and the work begins."""
        self._timers, self._pool = timers, pool

    def health(self) -> HealthReport:
        """Return whether the process is alive; any answer proves that its loop runs."""
        if self._timers is None or self._pool is None:
            return HealthReport(well=True, last_sweep_age=-1.0, in_flight=0, draining=False)
        now = monotonic()
        draining = self._pool.draining
        # A draining process has stopped its timers, and will end by itself.
        well = draining or now - self._timers.turned_at < STALE_TURN_SECONDS
        return HealthReport(well, round(now - self._timers.swept_at, 3), self._pool.in_flight, draining)

    def ready(self) -> Readiness:
        """Return the readiness: red if nothing can be delivered, degraded if delivery is slower than it should be."""
        checks = {"ledger": self._ledger(), "broker": worst(self.messages.check, self.wakeups.check)}
        if self._pool is not None and self._pool.draining:
            checks["process"] = Check(State.RED, "it is stopping")
        return readiness(checks)

    def _ledger(self) -> Check:
        draining = self._pool is not None and self._pool.draining
        if self._timers is None or draining or self.ledger.check.status is not State.OK:
            return self.ledger.check
        silent = monotonic() - self._timers.answered_at
        if silent > self._timers.pause + SILENT_SECONDS:
            return Check(State.RED, f"no answer for {silent:.0f} s")
        return self.ledger.check
