"""How every process waits at its start for a ledger that does not answer yet: as long as it takes, and it says so."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Protocol

import structlog

from worker.ledger import LedgerError, LedgerForbidden, LedgerFull, LedgerUnavailable

_log = structlog.get_logger("edw.ledger")

#: While the ledger does not answer: the first pause, the longest, and how often it is said again (seconds). Who was
#: started meanwhile is to be at work within 5 s of its return, as those are who were there before.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
SAY_AGAIN_SECONDS = 30.0
#: What is left of a time that was given does not make a pause shorter than this (seconds).
SHORTEST_PAUSE = 0.01


class OpenableLedger(Protocol):
    """What is asked of it."""

    async def open(self) -> None: ...


async def reach(
    ledger: OpenableLedger,
    stopping: asyncio.Event,
    *,
    within: float = inf,
    missed: Callable[[LedgerError], None] = lambda _: None,
) -> bool:
    """Open the ledger as soon as it can be; False where `stopping` was set first. `missed` gets each failure.

    A store that refuses this user is waited for as well: its operator mends the ACL while the process runs.

    Raises what was wrong at last where it took longer than `within` (seconds), and at once what no waiting mends.
    """
    end, pause, said_at = monotonic() + within, FIRST_PAUSE, -inf
    while not stopping.is_set():
        try:
            await ledger.open()
        except (LedgerUnavailable, LedgerFull, LedgerForbidden) as error:
            missed(error)
            left = end - monotonic()
            if left <= 0:
                raise
            if monotonic() - said_at >= SAY_AGAIN_SECONDS:
                said_at = monotonic()
                _log.warning("waiting for the ledger", why=str(error))
        else:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(max(SHORTEST_PAUSE, min(pause, left))):
                await stopping.wait()
        pause = min(pause * 2, LONGEST_PAUSE)
    return False
