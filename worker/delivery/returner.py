"""The returner: gives jobs back whose attempts were not made. The attempt numbers are taken back."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from worker.delivery.in_flight import InFlightPool
from worker.delivery.lane_queue import LaneQueue
from worker.delivery.settler import LEDGER_RETRY_SECONDS
from worker.domain.claim import Claim
from worker.ledger import LedgerError
from worker.ledger.policy import JOBS_PER_CALL

_log = structlog.get_logger("edw.delivery")


class ReleasingLedger(Protocol):
    """The part of the ledger that takes claims back."""

    async def release(self, claims: Sequence[Claim]) -> int: ...


class Returner:
    """Gives claims back, many in one call.

    It tries until the ledger has them, because a lease that runs out would cost the job an attempt. A claim leaves the
    pool once it is given back; then its lane joins the queue again.
    """

    def __init__(self, ledger: ReleasingLedger, pool: InFlightPool, queue: LaneQueue) -> None:
        self._ledger = ledger
        self._pool = pool
        self._queue = queue
        self._waiting: deque[Claim] = deque()
        self._added = asyncio.Event()

    def add(self, claim: Claim) -> None:
        """Add a claim whose attempt was not made."""
        self._waiting.append(claim)
        self._added.set()

    async def return_for_ever(self) -> None:
        """Give back added claims until cancelled."""
        while True:
            if not self._waiting:
                self._added.clear()
                await self._added.wait()
            batch = [self._waiting[index] for index in range(min(JOBS_PER_CALL, len(self._waiting)))]
            try:
                await self._ledger.release(batch)
            except LedgerError as error:
                # If this process lacks file descriptors, it may be the connection to the ledger that needs one.
                _log.warning("cannot give back", jobs=len(self._waiting), why=str(error))
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
                continue
            except Exception:  # noqa: BLE001  (a bug; the sweep finds the leases and settles the attempts as lost)
                _log.exception("not given back", jobs=len(batch))
            for _ in batch:
                self._waiting.popleft()
            self._pool.remove(batch)
            if not self._pool.closed:
                self._queue.hand_over(claim.integration_id for claim in batch)
            self._queue.wake()
