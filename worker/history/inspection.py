"""The state of the history, for `edw history status` and `edw doctor`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from worker.history.database import Connection
from worker.history.days import TABLES, parsed
from worker.history.migrations import applied, missing

#: The oldest PostgreSQL that can detach partitions without blocking readers.
OLDEST_SERVER = 14


@dataclass(frozen=True, slots=True)
class HistoryStatus:
    """The history at one moment."""

    #: Of the server, such as `15.18`.
    version: str
    #: Whether this user may write, to any table.
    writable: bool
    #: Whether the server compresses by lz4.
    has_lz4: bool
    #: Migrations that the database has, and names of those that it lacks.
    applied: Sequence[int]
    missing: Sequence[str]
    #: The first and the last day that every table has a partition for; None if there is none.
    first_day: date | None
    last_day: date | None
    #: Bytes on disk, with indexes, by table.
    sizes: dict[str, int]
    #: Milliseconds since 1970, by the server's clock.
    now: int
    #: Whether this user owns all tables, which making and dropping days needs.
    owns: bool = True
    #: Whether new days are compressed by lz4.
    uses_lz4: bool = True

    @property
    def major(self) -> int:
        """The major version of the server."""
        return int(self.version.partition(".")[0])


async def read_status(connection: Connection) -> HistoryStatus:
    """Return the state of the history."""
    row = await (
        await connection.execute(
            "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp()) * 1000,"
            " (SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression')"
        )
    ).fetchone()
    assert row is not None  # noqa: S101  (a query without a table has one row)
    version, now, has_lz4 = row
    numbers, lacking = await applied(connection), await missing(connection)
    sizes, first, last = dict.fromkeys(TABLES, 0), None, None
    writable = owns = uses_lz4 = False
    if numbers:
        sizes, first, last = await _partitions(connection)
        writable, owns, uses_lz4 = await _rights_and_compression(connection)
    names = [f"{each.number:04} ({each.name})" for each in lacking]
    server = (str(version).split(" ", 1)[0], writable, bool(has_lz4))
    return HistoryStatus(*server, numbers, names, first, last, sizes, int(now), owns, uses_lz4)


async def _rights_and_compression(connection: Connection) -> tuple[bool, bool, bool]:
    """Return whether this user may write, whether it owns the tables, and whether all data is compressed by lz4."""
    row = await (
        await connection.execute(
            "SELECT bool_or(has_table_privilege(oid, 'INSERT')), bool_and(pg_has_role(relowner, 'USAGE')),"
            " (SELECT bool_and(attcompression = 'l') FROM pg_attribute WHERE (attrelid, attname) IN ("
            "('edw.payloads'::regclass, 'payload'), ('edw.logs'::regclass, 'record'),"
            " ('edw.logs'::regclass, 'exchange'), (to_regclass('edw.changes'), 'record')))"
            " FROM pg_class WHERE relnamespace = 'edw'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        )
    ).fetchone()
    assert row is not None  # noqa: S101  (a query without a table has one row)
    writable, owns, uses_lz4 = map(bool, row)
    return writable, owns, uses_lz4


async def _partitions(connection: Connection) -> tuple[dict[str, int], date | None, date | None]:
    rows = await (
        await connection.execute(
            "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE c.relnamespace = to_regnamespace('edw') AND c.relkind = 'r'"
        )
    ).fetchall()
    sizes, days = dict.fromkeys(TABLES, 0), {table: set[date]() for table in TABLES}
    for name, size in rows:
        if known := parsed(name):
            sizes[known[0]] += int(size)
            days[known[0]].add(known[1])
    # Payloads are kept for a shorter time.
    first = min(days["events"], default=None)
    last = min((max(each, default=date.min) for each in days.values()), default=date.min)
    return sizes, first, None if last == date.min else last
