"""Writes rows into the history, in one transaction: COPY into staging tables, and from there on by ON CONFLICT."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from psycopg import sql

from worker.domain.compact_id import uuid_of
from worker.history.archive_rows import COLUMNS, TYPES, ArchiveRows, Row
from worker.history.database import Connection, HistoryUnavailable, mapped
from worker.ledger.events.wire_event import split, without_data
from worker.ledger.lanes.log_records import without_answer

#: The primary keys; the rest of a row is replaced by a later version.
_KEYS: Mapping[str, Sequence[str]] = {
    "events": ("ref", "day"),
    "payloads": ("ref", "day"),
    "jobs": ("id", "day"),
    "logs": ("job", "attempt", "day"),
    "changes": ("id", "day"),
}


_ERASED_EVENT = (
    "SELECT e.day, e.head, p.payload FROM edw.events e LEFT JOIN edw.payloads p ON p.ref = e.ref AND p.day = e.day"
    " WHERE e.ref = %s FOR UPDATE OF e"
)
_ERASE_EVENT = "UPDATE edw.events SET head = %s, resource = '' WHERE ref = %s AND day = %s"
_ERASE_PAYLOAD = "UPDATE edw.payloads SET payload = %s WHERE ref = %s AND day = %s"
_ERASED_LOGS = (
    "SELECT job, attempt, day, record FROM edw.logs"
    " WHERE job IN (SELECT id FROM edw.jobs WHERE event = %s UNION SELECT unnest(%s::uuid[]))"
)
_ERASE_LOG = "UPDATE edw.logs SET record = %s, exchange = NULL WHERE job = %s AND attempt = %s AND day = %s"


_NOTE = (
    "INSERT INTO edw.day_versions SELECT kind, day, 1 FROM unnest(%s::text[], %s::date[]) AS k (kind, day)"
    " ON CONFLICT (kind, day) DO UPDATE SET version = day_versions.version + 1"
)


class LeaseLost(HistoryUnavailable):
    """Another process archives now."""


def _staging(table: str) -> sql.Identifier:
    return sql.Identifier(f"edw_staging_{table}")


def _columns(table: str) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))


def _merge(table: str) -> sql.Composed:
    changed = [name for name in COLUMNS[table] if name not in _KEYS[table]]
    keys = sql.SQL(", ").join(map(sql.Identifier, _KEYS[table]))
    values = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changed)
    target, columns = sql.Identifier("edw", table), _columns(table)
    return sql.SQL("INSERT INTO {} AS kept ({}) SELECT {} FROM {} ON CONFLICT ({}) DO UPDATE SET {}").format(
        target, columns, columns, _staging(table), keys, values
    )


_COPY = {
    table: sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(_staging(table), _columns(table))
    for table in COLUMNS
}
_MERGE = {table: _merge(table) for table in COLUMNS}
# Counts the staged logs that the history does not have, and corrects what was counted of those that it has. Each log is
# looked up by its key, whatever the planner thinks of the staging table (OFFSET 0).
_COUNT_LOGS = """
    INSERT INTO edw.activity AS kept (day, integration, attempts, failed)
    SELECT new.day, new.integration, count(*) FILTER (WHERE old.succeeded IS NULL),
        count(*) FILTER (WHERE NOT new.succeeded) - count(*) FILTER (WHERE NOT old.succeeded)
    FROM edw_staging_logs AS new LEFT JOIN LATERAL (
        SELECT l.succeeded FROM edw.logs l
        WHERE l.job = new.job AND l.attempt = new.attempt AND l.day = new.day OFFSET 0
    ) AS old ON true
    GROUP BY new.day, new.integration
    ON CONFLICT (integration, day) DO UPDATE
    SET attempts = kept.attempts + excluded.attempts, failed = kept.failed + excluded.failed
    WHERE excluded.attempts <> 0 OR excluded.failed <> 0
"""
# The day bounds what is searched: a log is replaced soon after it was written, if at all.
_REPLACE = """
    WITH gone AS (
        DELETE FROM edw.logs
        WHERE job = %s AND attempt = %s AND day <> %s::date AND day BETWEEN %s::date - 8 AND %s::date + 8
        RETURNING day, integration, succeeded
    ), counted AS (
        UPDATE edw.activity a SET attempts = attempts - 1, failed = failed - (NOT gone.succeeded)::int
        FROM gone WHERE a.integration = gone.integration AND a.day = gone.day
    )
    SELECT day FROM gone
"""


class ArchiveWriter:
    """Writes for one process (`owner`), by one connection."""

    def __init__(self, connection: Connection, shard: str, owner: str) -> None:
        self._connection = connection
        self._shard = shard
        self._owner = owner

    async def begin(self) -> None:
        """Take over from whichever process archived before: it can write nothing more."""
        with mapped():
            async with self._connection.transaction():
                await self._connection.execute(
                    "INSERT INTO edw.archivers VALUES (%s, %s)"
                    " ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner",
                    (self._shard, self._owner),
                )
            for table in COLUMNS:
                await self._connection.execute(
                    sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DELETE ROWS").format(
                        _staging(table), sql.Identifier("edw", table)
                    )
                )

    async def write(self, rows: ArchiveRows) -> None:
        """Write rows, all or none. Repeating a call whose answer was lost is harmless.

        Raises LeaseLost if another process has taken over.
        """
        with mapped():
            async with self._connection.transaction():
                await self._check_owner()
                for table, written in rows.tables.items():
                    if written:
                        await self._write(table, written)
                changed = {(table, row[0]) for table, written in rows.tables.items() for row in written}
                if rows.replaced:
                    gone = await self._each(
                        _REPLACE, [(*log, log[-1], log[-1]) for log in rows.replaced], returning=True
                    )
                    changed |= {("logs", day) for (day,) in gone}
                await self._note(changed)

    async def erase(self, ref: str, jobs: Sequence[str]) -> None:
        """Erase an event: its data, and the answers to it. `jobs` are those of its jobs that the ledger names.

        The event, its jobs and the outcomes of its attempts stay. Repeating is harmless.
        """
        with mapped():
            async with self._connection.transaction():
                await self._check_owner()
                changed = set[tuple[str, date]]()
                rows = await self._connection.execute(_ERASED_EVENT, (uuid_of(ref),))
                for day, head, payload in await rows.fetchall():
                    start, rest = split(without_data(bytes(head) + bytes(payload or b"")))
                    await self._connection.execute(_ERASE_EVENT, (start, uuid_of(ref), day))
                    await self._connection.execute(_ERASE_PAYLOAD, (rest, uuid_of(ref), day))
                    changed.add(("events", day))
                logs = await self._connection.execute(_ERASED_LOGS, (uuid_of(ref), [UUID(job) for job in jobs]))
                if found := await logs.fetchall():
                    await self._each(_ERASE_LOG, [(without_answer(record), *log) for *log, record in found])
                    changed |= {("logs", day) for _, _, day, _ in found}
                await self._note(changed)

    async def _note(self, changed: Collection[tuple[str, date]]) -> None:
        """Note which tables have changed on which days."""
        kinds, days = [kind for kind, _ in sorted(changed)], [day for _, day in sorted(changed)]
        await self._connection.execute(_NOTE, (kinds, days))

    async def _check_owner(self) -> None:
        # Locked until the end of the transaction, so that nobody takes over in the middle of it.
        found = await self._connection.execute(
            "SELECT owner FROM edw.archivers WHERE shard = %s FOR UPDATE", (self._shard,)
        )
        if await found.fetchone() != (self._owner,):
            raise LeaseLost("another process archives now")

    async def _each(
        self, statement: str, values: Sequence[Sequence[object]], *, returning: bool = False
    ) -> list[tuple[Any, ...]]:
        """Run a statement for each of the values, without waiting for each answer; return the rows of `returning`."""
        async with self._connection.cursor() as cursor:
            await cursor.executemany(statement, values, returning=returning)
            return [row async for result in cursor.results() for row in await result.fetchall()] if returning else []

    async def _write(self, table: str, rows: Sequence[Row]) -> None:
        async with self._connection.cursor() as cursor:
            async with cursor.copy(_COPY[table]) as copy:
                copy.set_types(TYPES[table])
                for row in rows:
                    await copy.write_row(row)
            if table == "logs":
                await cursor.execute(_COUNT_LOGS)
            await cursor.execute(_MERGE[table])
