"""What a worker process knows of itself: whether it lives, and whether it can work.

It lives as long as its loop and its timers do. A ledger or a broker that is away is no reason to restart it: it goes on
by itself when they are back, and keeps the outcomes that it has until then. That it waits for them is its readiness.
"""

from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from worker.telemetry.readiness import Check, Presence, Readiness, State, readiness, worst

#: Timers that have not gone round for so long are held to be dead (seconds). A call of the ledger ends much earlier.
STALE_TURN_SECONDS = 60.0
#: A ledger that has answered no timer for so much longer than they pause is held to be away (seconds).
SILENT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How a worker process is; durations in seconds, negative before the first sweep."""

    well: bool
    last_sweep_age: float
    in_flight: int
    draining: bool


class Timers(Protocol):
    """What is asked of the sweeper; monotonic seconds."""

    @property
    def pause(self) -> float:
        """How long it waits between two sweeps (seconds)."""
        ...

    @property
    def answered_at(self) -> float:
        """When the ledger last answered any timer."""
        ...

    @property
    def swept_at(self) -> float:
        """When the ledger answered a sweep."""
        ...

    @property
    def turned_at(self) -> float:
        """When a sweep was over, whatever came of it."""
        ...


class InFlightView(Protocol):
    """What is asked of the deliveries."""

    @property
    def in_flight(self) -> int: ...
    @property
    def draining(self) -> bool: ...


class WorkerHealth:
    """Gathered by whoever finds something out; read by the probe."""

    def __init__(self) -> None:
        self.ledger = Presence(Check(State.RED, "not reached yet"))
        #: As the consumer of Celery's messages finds it, and as who sends wake-ups does.
        self.messages = Presence(Check(State.DEGRADED, "not reached yet"))
        self.wakeups = Presence()
        self._timers: Timers | None = None
        self._pool: InFlightView | None = None

    def begin(self, timers: Timers, pool: InFlightView) -> None:
        """The ledger was reached, and the work begins."""
        self._timers, self._pool = timers, pool

    def health(self) -> HealthReport:
        """Whether the process lives; an answer at all says that its loop does."""
        if self._timers is None or self._pool is None:
            return HealthReport(well=True, last_sweep_age=-1.0, in_flight=0, draining=False)
        now = monotonic()
        draining = self._pool.draining
        # One that drains has stopped its timers, and ends by itself.
        well = draining or now - self._timers.turned_at < STALE_TURN_SECONDS
        return HealthReport(well, round(now - self._timers.swept_at, 3), self._pool.in_flight, draining)

    def ready(self) -> Readiness:
        """Red where nothing can be delivered, degraded where it takes longer than it should."""
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
