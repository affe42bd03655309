"""The lease of the outbox: one process archives at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from worker.event_loop.cancellation import end
from worker.ledger import LedgerError
from worker.ledger.archive_outbox import ARCHIVE_LEASE, ArchiveOutbox

#: Seconds between two tries to get the lease, and between two renewals.
LEASE_SECONDS = ARCHIVE_LEASE / 4000


class ArchiveLease:
    """The lease, for one process."""

    def __init__(self, outbox: ArchiveOutbox) -> None:
        self._outbox = outbox
        self._leased_at = -LEASE_SECONDS

    async def take(self, *, afresh: bool = False) -> bool:
        """Take or renew the lease, unless that was done a moment ago; return whether this process has it.

        With `afresh`, ask the ledger in any case.
        """
        if not afresh and monotonic() - self._leased_at < LEASE_SECONDS:
            return True
        asked_at = monotonic()
        if not await self._outbox.lease():
            return False
        self._leased_at = asked_at
        return True

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the lease for the length of the block: a batch may take longer than the lease."""
        renewal = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            await end([renewal])

    async def leave(self) -> None:
        """Give the lease back, so that another process goes on at once."""
        self._leased_at = -LEASE_SECONDS
        await self._outbox.leave()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS)
            with suppress(LedgerError):
                await self.take(afresh=True)
