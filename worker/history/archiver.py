"""The archiver, a timer of every worker: it moves what has happened from the outbox of the ledger into PostgreSQL.

One worker of the fleet archives at a time. It reads a batch, writes it in one transaction, and only then notes in the
ledger that it may be forgotten. Killed in between, the next one writes the same rows again, which changes nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import reduce
from random import random
from time import monotonic
from typing import Any

import psycopg
import structlog

from worker.event_loop.cancellation import end
from worker.history import migrations
from worker.history.archive_lease import LEASE_SECONDS, ArchiveLease
from worker.history.archive_rows import rows_of
from worker.history.archive_writer import ArchiveWriter
from worker.history.database import Connection, HistoryDatabase, HistoryError, HistoryUnavailable, Result, within
from worker.history.days import day_of
from worker.history.outbox_batches import BATCH_BYTES, OutboxBatches
from worker.history.partitions import Partitions
from worker.ledger import Ledger, LedgerError
from worker.ledger.archive_outbox import ENTRIES_PER_CALL, OutboxBatch

_log = structlog.get_logger("edw.history")

#: Events that one step erases.
ERASED_AT_ONCE = 100
#: Seconds between two looks at an empty outbox.
IDLE_SECONDS = 0.5
#: Pauses while PostgreSQL is away (seconds); the last one repeats. With its spread and the time to connect, it is less
#: than the 5 s within which archiving goes on.
PAUSES = (0.25, 0.5, 1.0, 2.0)
#: Seconds after which PostgreSQL is given up: to connect, or to write a batch. Each takes some twenty statements, and a
#: server that takes 2 s for each is only slow.
WRITE_SECONDS = 90.0
#: Seconds between two looks at the days.
DAYS_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class HistoryPolicy:
    """How long the history keeps what (ms), and whether the archiver makes its tables."""

    retention: int
    payloads: int
    migrates: bool = True


class Archiver:
    """The archiver of one process; it calls `archived` with the number of entries that it has archived."""

    def __init__(
        self,
        ledger: Ledger,
        database: HistoryDatabase,
        policy: HistoryPolicy,
        archived: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._outbox = ledger.outbox
        self._batches = OutboxBatches(ledger.outbox)
        self._database = database
        self._policy = policy
        self._archived = archived
        self._connection: Connection | None = None
        self._writer: ArchiveWriter | None = None
        self._partitions: Partitions | None = None
        self._lease = ArchiveLease(ledger.outbox)
        self._looked_at_days = -DAYS_SECONDS
        #: The first day that is kept.
        self._oldest = date.min
        self._failures = 0
        self._timer: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """Whether PostgreSQL, or the ledger, did not answer the last step of this process."""
        return self._failures > 0

    def open(self) -> None:
        """Start archiving on the running loop."""
        self._timer = asyncio.create_task(self._for_ever())

    async def close(self) -> None:
        """Stop archiving; another worker goes on at once."""
        if self._timer is not None:
            await end([self._timer])
        await self._disconnect()
        try:
            await self._lease.leave()
        except LedgerError as error:
            _log.info("archiver's lease not given back", why=str(error))
        await self._database.close()

    async def step(self) -> float:
        """Archive a batch of each list; return how long to wait before the next step (seconds)."""
        if not await self._lease.take(afresh=self._writer is None):
            await self._disconnect()
            return LEASE_SECONDS
        async with self._lease.kept():
            return await self._archive()

    async def _for_ever(self) -> None:
        while True:
            try:
                pause = await self.step()
                self._note_answer()
            except LedgerError as error:
                pause = await self._note_failure(error)
            except Exception:  # noqa: BLE001  (if the timer ended, nothing would be archived any more)
                _log.exception("archiving failed")
                await self._disconnect()
                pause = PAUSES[-1]
            await asyncio.sleep(pause)

    async def _archive(self) -> float:
        writer, partitions = await _answered(self._connected())
        await _answered(self._look_after_days(partitions))
        done, size = 0, 0
        async for parts in self._batches.of_step():
            done += await _answered(self._write(parts, writer, partitions))
            size += sum(part.bytes for part in parts)
        done += await self._erase(writer)
        return 0.0 if done >= ENTRIES_PER_CALL or size >= BATCH_BYTES else IDLE_SECONDS

    async def _erase(self, writer: ArchiveWriter) -> int:
        """Erase what people have erased; what was read before that is written by now. Returns the number of events."""
        refs = await self._outbox.tombstones(ERASED_AT_ONCE)
        for ref in refs:
            await _answered(writer.erase(ref, await self._outbox.jobs_of(ref)))
            await self._outbox.erased(ref)
        return len(refs)

    async def _write(self, batches: Sequence[OutboxBatch], writer: ArchiveWriter, partitions: Partitions) -> int:
        """Write batches of several lists, all or none; return how many entries they have."""
        rows = rows_of(reduce(OutboxBatch.plus, batches), self._oldest)
        await partitions.make(rows.days)
        try:
            await writer.write(rows)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            for batch in batches:
                await self._write_one_by_one(batch.list, len(batch.entries), writer, error)
        else:
            for batch in batches:
                await self._note_archived(batch)
        return sum(len(batch.entries) for batch in batches)

    async def _write_one_by_one(self, name: str, entries: int, writer: ArchiveWriter, why: Exception) -> None:
        """Write entries of a batch that PostgreSQL refused, each alone, so that a bad one does not keep the others."""
        _log.error("a batch was refused: its entries are archived one by one", entries=entries, why=str(why))
        for _ in range(entries):
            batch = await self._outbox.take(name, 0, 1)
            try:
                await writer.write(rows_of(batch, self._oldest))
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                _log.error("an entry cannot be archived, and stays in the ledger", entry=batch.entries, why=str(error))
                await self._outbox.put_back(batch)
            else:
                await self._note_archived(batch)

    async def _note_archived(self, batch: OutboxBatch) -> None:
        if await self._outbox.done(batch):
            self._archived(len(batch.entries))
        else:
            # The lease ran out meanwhile. Nothing is lost: what is written twice is the same.
            _log.info("another process has archived these", entries=len(batch.entries))

    async def _connected(self) -> tuple[ArchiveWriter, Partitions]:
        if self._writer is not None and self._partitions is not None:
            return self._writer, self._partitions
        if self._policy.migrates:
            for each in await migrations.migrate(self._database):
                _log.info("history migrated", migration=f"{each.number:04} {each.name}")
        connection = self._connection = await self._database.connect("edw-archiver")
        await connection.set_autocommit(True)
        await migrations.check(connection)
        writer = ArchiveWriter(connection, self._ledger.shard, self._outbox.owner)
        await writer.begin()
        self._writer, self._partitions = writer, Partitions(connection)
        self._looked_at_days = -DAYS_SECONDS
        _log.info("archiving", history=self._database.address)
        return self._writer, self._partitions

    async def _look_after_days(self, partitions: Partitions) -> None:
        if monotonic() - self._looked_at_days < DAYS_SECONDS:
            return
        now = await self._ledger.redis.now()
        self._oldest = day_of(now - self._policy.retention)
        # On a full disk this makes the space that the next needs.
        if dropped := await partitions.drop_expired(now, self._policy.retention, self._policy.payloads):
            _log.info("days dropped from the history", partitions=dropped)
        await partitions.make_ahead(now)
        self._looked_at_days = monotonic()

    async def _disconnect(self) -> None:
        connection, self._connection, self._writer, self._partitions = self._connection, None, None, None
        if connection is not None:
            await connection.close()

    def _note_answer(self) -> None:
        # Without the lease, nothing was asked of PostgreSQL.
        if self._failures and self._writer is not None:
            _log.info("history back")
        self._failures = 0

    async def _note_failure(self, error: LedgerError) -> float:
        await self._disconnect()
        if isinstance(error, HistoryError) and not self._failures:
            _log.warning("history away", why=str(error))
        self._failures += 1
        if self._failures > len(PAUSES):
            # Another worker may reach PostgreSQL although this one does not.
            with suppress(LedgerError):
                await self._lease.leave()
        return pause_after(self._failures, random())  # noqa: S311  (no secret depends on it)


def pause_after(failures: int, chance: float) -> float:
    """Return the pause after so many failures in a row (seconds); `chance`, from 0 to 1, spreads it."""
    return PAUSES[min(failures, len(PAUSES)) - 1] * (0.8 + 0.4 * chance)


async def _answered(work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of some work. Raises HistoryUnavailable if PostgreSQL does not answer in time."""
    try:
        return await within(WRITE_SECONDS, work)
    except TimeoutError:
        raise HistoryUnavailable(f"PostgreSQL has not answered within {WRITE_SECONDS:g} s") from None
