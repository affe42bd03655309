"""The archiver, a timer of every worker: it moves what has happened from the outbox of the ledger into PostgreSQL.

One worker of the fleet archives at a time. It reads a batch, writes it in one transaction, and only then notes in the
ledger that it may be forgotten. Killed in between, the next one writes the same rows again, which changes nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from random import random
from time import monotonic

import psycopg
import structlog

from worker.event_loop.cancellation import end
from worker.history import migrations
from worker.history.archive_rows import rows_of
from worker.history.archive_writer import ArchiveWriter
from worker.history.database import Connection, HistoryDatabase, HistoryError, HistoryUnavailable, within
from worker.history.days import day_of
from worker.history.partitions import Partitions
from worker.ledger import Ledger, LedgerError
from worker.ledger.archive_outbox import ARCHIVE_LEASE, ENTRIES_PER_CALL, LISTS, OutboxBatch

_log = structlog.get_logger("edw.history")

#: Entries and bytes of one batch, which the process holds in memory.
BATCH_ENTRIES = 500
BATCH_BYTES = 8 * 1024 * 1024
#: Events that one step erases.
ERASED_AT_ONCE = 100
#: Seconds between two looks at an empty outbox.
IDLE_SECONDS = 0.5
#: Seconds between two tries to get the lease, and between two renewals.
LEASE_SECONDS = ARCHIVE_LEASE / 4000
#: Pauses while PostgreSQL is away (seconds); the last one repeats.
PAUSES = (0.25, 0.5, 1.0, 2.0, 3.0)
#: Seconds after which a batch that PostgreSQL does not answer is given up. A slow one takes a dozen statements.
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
        self._database = database
        self._policy = policy
        self._archived = archived
        self._connection: Connection | None = None
        self._writer: ArchiveWriter | None = None
        self._partitions: Partitions | None = None
        self._leased_at = -LEASE_SECONDS
        self._looked_at_days = -DAYS_SECONDS
        #: The first day that is kept.
        self._oldest = date.min
        self._failures = 0
        self._timer: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """Whether PostgreSQL, or the ledger, did not answer the last step."""
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
            await self._outbox.leave()
        except LedgerError as error:
            _log.info("archiver's lease not given back", why=str(error))
        await self._database.close()

    async def step(self) -> float:
        """Archive what waits, a batch of each list; return how long to wait before the next step (seconds)."""
        if not await self._has_lease():
            await self._disconnect()
            return LEASE_SECONDS
        try:
            return await within(WRITE_SECONDS, self._archive())
        except TimeoutError:
            raise HistoryUnavailable(f"PostgreSQL has not answered within {WRITE_SECONDS:g} s") from None

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

    async def _has_lease(self) -> bool:
        if self._writer is not None and monotonic() - self._leased_at < LEASE_SECONDS:
            return True
        asked_at = monotonic()
        if not await self._outbox.lease():
            return False
        self._leased_at = asked_at
        return True

    async def _archive(self) -> float:
        writer, partitions = await self._connected()
        await self._look_after_days(partitions)
        done = 0
        for name in LISTS:
            batch = await self._batch(name)
            if batch.entries:
                await self._write(batch, writer, partitions)
                done += len(batch.entries)
        done += await self._erase(writer)
        return 0.0 if done >= ENTRIES_PER_CALL else IDLE_SECONDS

    async def _erase(self, writer: ArchiveWriter) -> int:
        """Erase what people have erased; what was read before that is written by now. Returns the number of events."""
        refs = await self._outbox.tombstones(ERASED_AT_ONCE)
        for ref in refs:
            await writer.erase(ref, await self._outbox.jobs_of(ref))
            await self._outbox.erased(ref)
        return len(refs)

    async def _batch(self, name: str) -> OutboxBatch:
        """Return the next entries of a list, as many as the process may hold."""
        batch = await self._outbox.take(name)
        while batch.entries and len(batch.entries) < BATCH_ENTRIES and batch.bytes < BATCH_BYTES:
            more = await self._outbox.take(name, len(batch.entries))
            batch = batch.plus(more)
            if not more.entries:
                break
        return batch

    async def _write(self, batch: OutboxBatch, writer: ArchiveWriter, partitions: Partitions) -> None:
        rows = rows_of(batch, self._oldest)
        await partitions.make(rows.days)
        try:
            await writer.write(rows)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            await self._write_one_by_one(batch.list, len(batch.entries), writer, error)
            return
        await self._note_archived(batch)

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
        await partitions.make_ahead(now)
        self._oldest = day_of(now - self._policy.retention)
        if dropped := await partitions.drop_expired(now, self._policy.retention, self._policy.payloads):
            _log.info("days dropped from the history", partitions=dropped)
        self._looked_at_days = monotonic()

    async def _disconnect(self) -> None:
        connection, self._connection, self._writer, self._partitions = self._connection, None, None, None
        if connection is not None:
            await connection.close()

    def _note_answer(self) -> None:
        if self._failures:
            _log.info("history back")
        self._failures = 0

    async def _note_failure(self, error: LedgerError) -> float:
        await self._disconnect()
        if isinstance(error, HistoryError) and not self._failures:
            _log.warning("history away", why=str(error))
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        return pause * (0.8 + 0.4 * random())  # noqa: S311  (no secret depends on it)
