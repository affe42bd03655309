"""The wait for the ledger when a process starts: it lasts until the ledger answers, and the log says so."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Protocol

import structlog

from deliverers.backoff import Backoff
from worker.ledger.ledger_errors import LedgerError, LedgerForbidden, LedgerFull, LedgerUnavailable

_log = structlog.get_logger("edw.ledger")

#: Pauses while the ledger does not answer. They let a process that starts meanwhile work within 5 s of the ledger's
#: return, like processes that ran before.
BACKOFF = Backoff(first=0.2, longest=2.0)
#: How often the log repeats that the process waits (seconds).
SAY_AGAIN_SECONDS = 30.0
#: The shortest pause, even if less of the time limit is left (seconds).
SHORTEST_PAUSE = 0.01


class OpenableLedger(Protocol):
    """The part of the ledger that connects to Redis."""

    async def open(self) -> None: ...


async def reach(
    ledger: OpenableLedger,
    stopping: asyncio.Event,
    *,
    within: float = inf,
    missed: Callable[[LedgerError], None] = lambda _: None,
) -> bool:
    """Open the ledger as soon as it answers.

    It waits as well for a Redis that refuses this user: an operator can correct the ACL while the process runs.

    Args:
        ledger: The ledger to open.
        stopping: Ends the wait when it is set.
        within: The time limit (seconds).
        missed: Called with each failure.

    Returns:
        True once the ledger is open; False if `stopping` was set first.

    Raises:
        LedgerError: The last failure, if the time limit is over; or at once a failure that waiting cannot end.
    """
    end, failures, said_at = monotonic() + within, 0, -inf
    while not stopping.is_set():
        try:
            await ledger.open()
        except (LedgerUnavailable, LedgerFull, LedgerForbidden) as error:
            missed(error)
            failures += 1
            left = end - monotonic()
            if left <= 0:
                raise
            if monotonic() - said_at >= SAY_AGAIN_SECONDS:
                said_at = monotonic()
                _log.warning("waiting for the ledger", why=str(error))
        else:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(max(SHORTEST_PAUSE, min(BACKOFF.pause(failures), left))):
                await stopping.wait()
    return False
