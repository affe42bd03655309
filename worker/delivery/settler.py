"""Outcomes into the ledger: kept until it has them, and written many in one call."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from worker.delivery.attempt import Attempt
from worker.ledger import Claim, LedgerError, Settlement
from worker.ledger.lanes.settlements import Settled
from worker.ledger.policy import JOBS_PER_CALL
from worker.telemetry.lane_events import report_broken, report_circuit

_log = structlog.get_logger("edw.settling")

#: While the ledger does not answer it is asked again after this many seconds.
LEDGER_RETRY_SECONDS = 0.5
#: While much is in flight, outcomes wait so long for company: fewer, larger calls (seconds).
LINGER_SECONDS = 0.003


class SettlementWriter(Protocol):
    """What is asked of the ledger's jobs."""

    async def settle(self, settlements: Sequence[Settlement]) -> Settled: ...


class Settler:
    """Settles attempts that are over.

    `settled` is told the claims whose attempts are written down, and the lanes that have ready jobs and room.
    """

    def __init__(
        self,
        books: SettlementWriter,
        report: Callable[[Attempt, str], None],
        settled: Callable[[Sequence[Claim], Sequence[str]], None],
    ) -> None:
        self._books = books
        self._report = report
        self._settled = settled
        self._over: deque[Attempt] = deque()
        self._added = asyncio.Event()

    def add(self, attempt: Attempt) -> None:
        """Takes an attempt that is over."""
        self._over.append(attempt)
        self._added.set()

    async def settle_for_ever(self, in_flight: Callable[[], int]) -> None:
        """Settles what is added, in its order; nothing that was learned is dropped because the ledger is away."""
        size = JOBS_PER_CALL
        while True:
            if not self._over:
                self._added.clear()
                await self._added.wait()
            if len(self._over) < min(JOBS_PER_CALL, in_flight() // 2):
                await asyncio.sleep(LINGER_SECONDS)
            batch = [self._over[index] for index in range(min(size, len(self._over)))]
            lanes: Sequence[str] = ()
            try:
                lanes = await self._settle(batch)
            except LedgerError as error:
                # Meanwhile the flights fill, and nothing more is claimed.
                _log.warning("cannot settle", attempts=len(self._over), why=str(error))
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001  (a bug, of which the neighbours must not suffer)
                if len(batch) > 1:
                    size = 1
                    continue
                # Its lease is not known here any more: the sweep finds it, and settles the attempt as lost.
                _log.exception("attempt dropped", job=batch[0].claim.job_id, why=str(error))
            size = JOBS_PER_CALL
            for _ in batch:
                self._over.popleft()
            self._settled([attempt.claim for attempt in batch], lanes)

    async def _settle(self, batch: Sequence[Attempt]) -> Sequence[str]:
        settled = await self._books.settle([attempt.settlement() for attempt in batch])
        for attempt, result in zip(batch, settled.results, strict=True):
            self._report(attempt, result)
        for change in settled.circuits:
            report_circuit(change)
        for receiver in settled.broken:
            report_broken(receiver)
        return settled.more
