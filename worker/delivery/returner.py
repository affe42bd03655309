"""Jobs whose attempts were not made go back to their lanes, with the numbers of their attempts unused."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from worker.delivery.settler import LEDGER_RETRY_SECONDS
from worker.domain.claim import Claim
from worker.ledger import LedgerError
from worker.ledger.policy import JOBS_PER_CALL

_log = structlog.get_logger("edw.delivery")


class ReleasingLedger(Protocol):
    """The part of the ledger's jobs that takes claims back."""

    async def release(self, claims: Sequence[tuple[str, str, int]]) -> int: ...


class Returner:
    """Gives claims back, many in one call, and tries again until the ledger has them: a lost lease spends an attempt.

    `returned` gets each batch that is no longer this process's.
    """

    def __init__(self, lanes: ReleasingLedger, returned: Callable[[Sequence[Claim]], None]) -> None:
        self._lanes = lanes
        self._returned = returned
        self._waiting: deque[Claim] = deque()
        self._added = asyncio.Event()

    def add(self, claim: Claim) -> None:
        """Take a claim whose attempt was not made."""
        self._waiting.append(claim)
        self._added.set()

    async def return_for_ever(self) -> None:
        """Give back what is added, until cancelled."""
        while True:
            if not self._waiting:
                self._added.clear()
                await self._added.wait()
            batch = [self._waiting[index] for index in range(min(JOBS_PER_CALL, len(self._waiting)))]
            try:
                await self._lanes.release([(each.job_id, each.integration_id, each.attempt) for each in batch])
            except LedgerError as error:
                # Where files are lacking, the connection to the ledger may be what could not be opened.
                _log.warning("cannot give back", jobs=len(self._waiting), why=str(error))
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
                continue
            except Exception:  # noqa: BLE001  (a bug; the sweep finds the leases, and settles the attempts as lost)
                _log.exception("not given back", jobs=len(batch))
            for _ in batch:
                self._waiting.popleft()
            self._returned(batch)
