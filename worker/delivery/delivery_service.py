"""The delivery of claimed jobs in one process: its parts, and how they are connected.

    LaneQueue → ClaimLoop → AttemptTasks → Settler  → the ledger; lanes with more jobs go back to the queue
                                        ↘ Returner → the ledger, where nothing was sent

InFlightPool and LaneQueue are passive: they start nothing, and do not know the other parts.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from random import Random
from typing import Protocol

import structlog

from worker.delivery.attempt_runner import AttemptRunner, TargetLookup
from worker.delivery.attempt_tasks import AttemptTasks
from worker.delivery.claim_loop import ClaimingLedger, ClaimLoop, TargetReader
from worker.delivery.concurrency_limiter import ConcurrencyLimiter
from worker.delivery.in_flight import InFlightPool
from worker.delivery.lane_limits import KnownLanes, LaneLimits
from worker.delivery.lane_queue import LaneQueue
from worker.delivery.returner import ReleasingLedger, Returner
from worker.delivery.settler import Settler, SettlingLedger
from worker.delivery.store_slots import limits_by_store
from worker.domain.attempt import Attempt
from worker.domain.claim import Claim
from worker.domain.retry_policy import RetryPolicy
from worker.event_loop.cancellation import end
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.delivery")

#: How long the last settlements may take when the process stops, those of interrupted attempts included (seconds).
SETTLE_ON_STOP_SECONDS = 5.0


class DeliveryLedger(ClaimingLedger, KnownLanes, SettlingLedger, ReleasingLedger, Protocol):
    """The part of the ledger that leases and settles jobs."""


class Targets(TargetReader, TargetLookup, Protocol):
    """Finds the targets of jobs, and reads those that are new to this process."""


class DeliveryService:
    """All deliveries of this process.

    Args:
        ledger: Leases and settles jobs.
        targets: Finds the targets of jobs.
        policy: Decides the next step after an outcome.
        report: Reports an attempt and the ledger's answer: `settled`, `renewed`, `late` or `stale`.
        max_in_flight: The most attempts in flight.
        max_in_flight_bytes: The most bytes of their events.
        timeout: The time that a deliverer has for one attempt (seconds), unless the integration has its own.
        traces: Traces attempts; None disables tracing.
        pass_on: Announces lanes that this process has no slots for now to other processes.
        may_send: Returns whether this process still has the lease of a claimed job.
    """

    def __init__(
        self,
        ledger: DeliveryLedger,
        targets: Targets,
        policy: RetryPolicy,
        report: Callable[[Attempt, str], None],
        max_in_flight: int,
        max_in_flight_bytes: float,
        timeout: float,
        traces: Traces | None = None,
        pass_on: Callable[[Sequence[str]], None] = lambda _: None,
        may_send: Callable[[Claim], bool] = lambda _: True,
    ) -> None:
        self._pool = InFlightPool(max_in_flight, max_in_flight_bytes)
        self._queue = LaneQueue(pass_on)
        limiter = ConcurrencyLimiter(max_in_flight, timeout)
        self._limits = LaneLimits(ledger, limiter, self._queue)
        self._settler = Settler(ledger, self._pool, self._queue, report)
        self._returner = Returner(ledger, self._pool, self._queue)
        # Jitter is no secret.
        random = Random().random  # noqa: S311
        runner = AttemptRunner(targets, policy, timeout, random, traces, may_send)
        self._tasks = AttemptTasks(self._pool, runner, limiter, self._queue, self._settler, self._returner)
        self._claim_loop = ClaimLoop(ledger, targets, self._pool, self._limits, self._queue, self._tasks.start)
        self._loops: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start claiming and settling, on the running loop."""
        self._loops = [
            asyncio.create_task(self._claim_loop.claim_for_ever()),
            asyncio.create_task(self._settler.settle_for_ever()),
            asyncio.create_task(self._returner.return_for_ever()),
        ]

    @property
    def in_flight(self) -> int:
        """The number of attempts in flight, finished ones that are not settled yet included."""
        return len(self._pool)

    @property
    def limit(self) -> int:
        """The most attempts in flight: fewer than the settings allow after this process lacked a resource."""
        return self._pool.limit.current

    @property
    def room(self) -> int:
        """The number of attempts that can be started now."""
        return self._pool.room

    @property
    def spare(self) -> int:
        """The number of lanes that could have an attempt now, beside those that wait for one already."""
        return max(0, self.room - self._queue.waiting)

    @property
    def draining(self) -> bool:
        """Whether this process has stopped taking jobs."""
        return self._pool.closed

    @property
    def held(self) -> set[str]:
        """The ids of the jobs in flight."""
        return self._pool.job_ids

    @property
    def calling_since(self) -> float:
        """When the oldest pending call began that may lease jobs (monotonic seconds); infinite if none is pending."""
        return self._pool.calling_since

    def reserved(self, wanted: int) -> AbstractContextManager[int]:
        """Reserve up to `wanted` places for a call that may lease jobs; yield their number."""
        return self._pool.reserved(wanted)

    async def limits(self, lanes: Sequence[str]) -> Mapping[str, int]:
        """Return how many more attempts each lane may have here. Raises LedgerError."""
        limits = await self._limits.limits(lanes)
        return limits_by_store(limits, self._queue.store_of, self._pool.room_by_store())

    def belong(self, stores: Mapping[str, str]) -> None:
        """Learn the stores (Scope.key) of lanes, so that each store gets its turn."""
        self._queue.belong(stores)

    def serve(self, lanes: Iterable[str]) -> None:
        """Claim jobs of the lanes as soon as slots are free, each lane in its turn."""
        self._queue.put(lanes)

    def serve_later(self, lanes: Mapping[str, float]) -> None:
        """Claim jobs of the lanes after the given times (seconds)."""
        self._queue.put_later(lanes)

    def note_others(self, *, alone: bool) -> None:
        """Note whether this process is alone in the fleet: then nobody else has slots for lanes that wait here."""
        self._queue.alone = alone

    def start(self, claims: Iterable[Claim]) -> None:
        """Start the attempts of claimed jobs."""
        self._tasks.start(claims)

    def lose(self, claims: Iterable[Claim]) -> None:
        """Settle attempts that were lost because their process died."""
        self._tasks.lose(claims)

    def cut_off_overdue(self) -> None:
        """Cancel attempts whose deliverer has long missed its deadline."""
        self._tasks.cut_off_overdue()

    def stop_claiming(self) -> None:
        """Take no more jobs; attempts in flight go on."""
        self._pool.close()
        self._queue.clear()

    async def drain(self, seconds: float, hurry: asyncio.Event) -> None:
        """Finish the attempts in flight, and settle all of them.

        After `seconds`, or when `hurry` is set, unfinished attempts are interrupted.
        """
        self.stop_claiming()
        # A pending claim may still lease jobs to this process.
        await self._pool.wait_for_calls()
        await self._tasks.finish(seconds, hurry)
        try:
            async with asyncio.timeout(SETTLE_ON_STOP_SECONDS):
                await self._pool.wait_until_empty()
        except TimeoutError:
            _log.error("unsettled", attempts=len(self._pool), why="the ledger did not answer; sweeps will settle them")
        await end(self._loops)
