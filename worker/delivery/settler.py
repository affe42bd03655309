"""The settler: writes the outcomes of attempts into the ledger, and keeps them until the ledger has them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from time import perf_counter
from typing import Protocol

import structlog

from worker.delivery.in_flight import InFlightPool
from worker.delivery.lane_queue import LaneQueue
from worker.delivery.settlement import settlement_of
from worker.domain.attempt import Attempt
from worker.ledger import LedgerError, Settlement
from worker.ledger.lanes.settlements import Settled
from worker.ledger.policy import JOBS_PER_CALL
from worker.telemetry.lane_events import report_broken, report_circuit

_log = structlog.get_logger("edw.settling")

#: The pause before the next call while the ledger does not answer (seconds).
LEDGER_RETRY_SECONDS = 0.5
#: How long an outcome waits for others while much is in flight, so that there are fewer, larger calls (seconds).
LINGER_SECONDS = 0.003
#: Everyday load: no lane has had to wait for service for so long (seconds), so none wants the slots of these attempts.
QUIET_SECONDS = 1.0
#: How long an outcome waits then for others, if the one before it came within this time (seconds).
QUIET_LINGER_SECONDS = 0.02
#: How many outcomes are enough for a call then.
QUIET_OUTCOMES = 8


class SettlingLedger(Protocol):
    """The part of the ledger that settles attempts."""

    async def settle(self, settlements: Sequence[Settlement]) -> Settled: ...


class Settler:
    """Settles attempts in the order in which they end, many in one call.

    An attempt leaves the pool once it is settled; lanes that have ready jobs and free slots join the queue.

    Args:
        ledger: Settles attempts.
        pool: The attempts in flight.
        queue: The lanes that want service.
        report: Reports an attempt and the ledger's answer: `settled`, `renewed`, `late` or `stale`.
        clock: Returns a time that never goes back (seconds).
    """

    def __init__(
        self,
        ledger: SettlingLedger,
        pool: InFlightPool,
        queue: LaneQueue,
        report: Callable[[Attempt, str], None],
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._queue = queue
        self._report = report
        self._clock = clock
        #: When the last outcome was added, and whether it came soon after the one before it.
        self._added_at, self._is_steady = -inf, False
        self._ended: deque[Attempt] = deque()
        self._added = asyncio.Event()
        self._enough = asyncio.Event()

    def add(self, attempt: Attempt) -> None:
        """Add a finished attempt."""
        now = self._clock()
        self._added_at, self._is_steady = now, now < self._added_at + QUIET_LINGER_SECONDS
        self._ended.append(attempt)
        self._added.set()
        if len(self._ended) >= max(QUIET_OUTCOMES, self._many):
            self._enough.set()

    async def settle_for_ever(self) -> None:
        """Settle added attempts until cancelled. While the ledger is away, outcomes wait; none is dropped."""
        size = JOBS_PER_CALL
        while True:
            if not self._ended:
                self._added.clear()
                await self._added.wait()
            await self._gather()
            batch = [self._ended[index] for index in range(min(size, len(self._ended)))]
            settled: Settled | None = None
            try:
                settled = await self._settle(batch)
            except LedgerError as error:
                # Meanwhile the pool fills up, so the process claims no more.
                _log.warning("cannot settle", attempts=len(self._ended), why=str(error))
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001  (a bug; it must not affect the other attempts)
                if len(batch) > 1:
                    size = 1
                    continue
                # The pool no longer has the attempt, so the sweep finds its lease and settles the attempt as lost.
                _log.exception("attempt dropped", job=batch[0].claim.job_id, why=str(error))
            size = JOBS_PER_CALL
            for _ in batch:
                self._ended.popleft()
            self._pool.remove(attempt.claim for attempt in batch)
            if settled:
                self._queue.put(settled.more)
                self._queue.put_later(settled.later)
            self._queue.wake()

    @property
    def _many(self) -> int:
        """How many outcomes make a large call, for what is in flight."""
        return min(JOBS_PER_CALL, len(self._pool) // 2)

    async def _gather(self) -> None:
        """Wait for further outcomes, so that there are fewer, larger calls."""
        if self._is_steady and self._queue.quiet_for(QUIET_SECONDS) and not self._pool.closed:
            if len(self._ended) < max(QUIET_OUTCOMES, self._many):
                self._enough.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_LINGER_SECONDS):
                        await self._enough.wait()
        elif len(self._ended) < self._many:
            await asyncio.sleep(LINGER_SECONDS)

    async def _settle(self, batch: Sequence[Attempt]) -> Settled:
        settled = await self._ledger.settle([settlement_of(attempt) for attempt in batch])
        for attempt, result in zip(batch, settled.results, strict=True):
            self._report(attempt, result)
        for change in settled.circuits:
            report_circuit(change)
        for receiver in settled.broken:
            report_broken(receiver)
        return settled
