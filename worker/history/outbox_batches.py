"""Batches of the outbox, each as much as the archiver may hold in memory.

The outbox has what has happened in the order of time. Once more waits in one of its lists than a batch, it is sorted by
store, and stores take turns: a batch has entries of as many stores as have any, up to TURNS. So a store whose million
records wait delays another store's only until these are sorted, twenty times as fast as they are archived.
"""

from collections.abc import AsyncIterator, Sequence

from worker.ledger.archive_outbox import ENTRIES_PER_CALL, LISTS, ArchiveOutbox, OutboxBatch

#: Entries and bytes of one batch.
BATCH_ENTRIES = 500
BATCH_BYTES = 8 * 1024 * 1024
#: Calls that sort a list before each batch: 10,000 entries, 40 ms of Redis's time in slices of less than 1 ms.
SORT_CALLS = 50
#: Lists of stores that share a batch.
TURNS = 50


class OutboxBatches:
    """The batches of one outbox. Reading them takes nothing off."""

    def __init__(self, outbox: ArchiveOutbox) -> None:
        self._outbox = outbox

    async def of_step(self) -> AsyncIterator[Sequence[OutboxBatch]]:
        """Yield the first batch of each list, and then one in parts, each of a store whose turn it is."""
        for name in LISTS:
            if await self._is_long(name):
                continue
            if (batch := await self._batch(name, BATCH_ENTRIES)).entries:
                yield [batch]
        if parts := await self._of_stores():
            yield parts

    async def _of_stores(self) -> Sequence[OutboxBatch]:
        names = await self._outbox.turns(TURNS)
        parts: list[OutboxBatch] = []
        for name in names:
            parts.append(await self._batch(name, BATCH_ENTRIES // len(names)))
            if sum(part.bytes for part in parts) >= BATCH_BYTES:
                break
        return parts

    async def _is_long(self, name: str) -> bool:
        """Sort a list by store while it has more than a batch; return whether it still has."""
        for _ in range(SORT_CALLS):
            if not await self._outbox.sort(name, BATCH_ENTRIES):
                return False
        return True

    async def _batch(self, name: str, most: int) -> OutboxBatch:
        """Return the first entries of a list, at most `most`, up to BATCH_BYTES."""
        batch = await self._outbox.take(name, 0, min(most, ENTRIES_PER_CALL))
        while batch.entries and len(batch.entries) < most and batch.bytes < BATCH_BYTES:
            size = len(batch.entries)
            more = await self._outbox.take(name, size, min(most - size, ENTRIES_PER_CALL))
            batch = batch.plus(more)
            if not more.entries:
                break
        return batch
