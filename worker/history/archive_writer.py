"""Writes rows into the history, in one transaction: COPY into staging tables, and from there on by ON CONFLICT."""

from collections.abc import Mapping, Sequence
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
# The day bounds what is searched: a log is replaced soon after it was written, if at all.
_REPLACE = """
    DELETE FROM edw.logs
    WHERE job = %s AND attempt = %s AND day <> %s::date AND day BETWEEN %s::date - 8 AND %s::date + 8
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
                for job, attempt, day in rows.replaced:
                    await self._connection.execute(_REPLACE, (job, attempt, day, day, day))

    async def erase(self, ref: str, jobs: Sequence[str]) -> None:
        """Erase an event: its data, and the answers to it. `jobs` are those of its jobs that the ledger names.

        The event, its jobs and the outcomes of its attempts stay. Repeating is harmless.
        """
        with mapped():
            async with self._connection.transaction():
                await self._check_owner()
                rows = await self._connection.execute(_ERASED_EVENT, (uuid_of(ref),))
                for day, head, payload in await rows.fetchall():
                    start, rest = split(without_data(bytes(head) + bytes(payload or b"")))
                    await self._connection.execute(_ERASE_EVENT, (start, uuid_of(ref), day))
                    await self._connection.execute(_ERASE_PAYLOAD, (rest, uuid_of(ref), day))
                logs = await self._connection.execute(_ERASED_LOGS, (uuid_of(ref), [UUID(job) for job in jobs]))
                for job, attempt, day, record in await logs.fetchall():
                    await self._connection.execute(_ERASE_LOG, (without_answer(record), job, attempt, day))

    async def _check_owner(self) -> None:
        # Locked until the end of the transaction, so that nobody takes over in the middle of it.
        found = await self._connection.execute(
            "SELECT owner FROM edw.archivers WHERE shard = %s FOR UPDATE", (self._shard,)
        )
        if await found.fetchone() != (self._owner,):
            raise LeaseLost("another process archives now")

    async def _write(self, table: str, rows: Sequence[Row]) -> None:
        async with self._connection.cursor() as cursor:
            async with cursor.copy(_COPY[table]) as copy:
                copy.set_types(TYPES[table])
                for row in rows:
                    await copy.write_row(row)
            await cursor.execute(_MERGE[table])
