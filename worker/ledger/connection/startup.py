"""How every process waits at its start for a ledger that does not answer yet: as long as it takes, and it says so."""

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

#: Pauses while the ledger does not answer. A process that starts meanwhile works within 5 s of the ledger's return, as
#: do those that ran before.
BACKOFF = Backoff(first=0.2, longest=2.0)
#: How often the log repeats that the process waits (seconds).
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
    """Open the ledger as soon as it answers; return False where `stopping` was set first.

    `missed` is called with each failure. A Redis that refuses this user is waited for as well: its operator mends the
    ACL while the process runs.

    Raises what was wrong at last where it took longer than `within` (seconds), and at once what no waiting mends.
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
