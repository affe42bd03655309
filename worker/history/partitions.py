"""One partition of each table for each day: made ahead, and dropped whole. Nothing is deleted row by row."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta

import psycopg
from psycopg import sql

from worker.history.database import Connection, HistoryUnavailable, mapped
from worker.history.days import TABLES, expired, parsed, partition, wanted

#: Holds a partition that is being made or dropped, so that two processes do not do it at once.
_LOCK = 7_310_822_002


class Partitions:
    """The partitions of one database, by one connection in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: Days whose partitions are known to exist.
        self._made: set[date] = set()

    async def names(self) -> list[str]:
        """Return the names of all partitions, those too that are detached and not yet dropped."""
        with mapped():
            found = await self._connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('edw') AND relkind = 'r'"
            )
            return sorted(name for (name,) in await found.fetchall() if parsed(name))

    async def make(self, days: Collection[date]) -> int:
        """Make the partitions of the days that have none; return how many were made."""
        if self._made.issuperset(days):
            return 0
        with mapped():
            attached = await self._attached()
            lacking = [
                (table, day) for day in sorted(days) for table in TABLES if partition(table, day) not in attached
            ]
            for table, day in lacking:
                await self._make(table, day)
        self._made |= set(days)
        return len(lacking)

    async def make_ahead(self, now: int) -> int:
        """Make the partitions of today and of the days ahead; return how many were made."""
        return await self.make(wanted(now))

    async def drop_expired(self, now: int, retention: int, payloads: int) -> Sequence[str]:
        """Drop the partitions that are older than their retention (ms), up to one in use; return their names."""
        old = expired(await self.names(), now, retention, payloads)
        for done, name in enumerate(old):
            try:
                await self.drop(name)
            except HistoryUnavailable as error:
                if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                    # Somebody reads the day, such as pg_dump or an export. Archiving goes on; it is dropped later.
                    return old[:done]
                raise
        return old

    async def drop(self, name: str) -> None:
        """Drop a partition. Readers and writers of the other days go on meanwhile."""
        known = parsed(name)
        assert known is not None  # noqa: S101  (only partitions are dropped)
        table, day = known
        self._made.discard(day)
        with mapped():
            state = (await self._attached()).get(name)
            if state is not None:
                # What was interrupted is finished; PostgreSQL refuses to begin it again.
                how = sql.SQL("FINALIZE") if state else sql.SQL("CONCURRENTLY")
                await self._connection.execute(
                    sql.SQL("ALTER TABLE {} DETACH PARTITION {} {}").format(_named(table), _named(name), how)
                )
            await self._connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_named(name)))
            await self._connection.execute("DELETE FROM edw.day_versions WHERE kind = %s AND day = %s", (table, day))

    async def _attached(self) -> dict[str, bool]:
        """Return the attached partitions, and whether each is half detached."""
        found = await self._connection.execute(
            "SELECT c.relname, i.inhdetachpending FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent"
            " WHERE p.relnamespace = to_regnamespace('edw') AND p.relkind = 'p'"
        )
        return {name: bool(pending) for name, pending in await found.fetchall()}

    async def _make(self, table: str, day: date) -> None:
        name = partition(table, day)
        first, last = (sql.Literal(each.isoformat()) for each in (day, day + timedelta(days=1)))
        # To attach a table locks less than to create a partition: readers go on. Both steps are one transaction, so
        # that no table is left that is not attached.
        async with self._connection.transaction():
            await self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if name in await self._attached():
                return
            for statement in _making(table, name, first, last):
                await self._connection.execute(statement)


def _making(table: str, name: str, first: sql.Literal, last: sql.Literal) -> Iterable[sql.Composed]:
    yield sql.SQL("DROP TABLE IF EXISTS {}").format(_named(name))
    yield sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(_named(name), _named(table))
    yield sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
        _named(table), _named(name), first, last
    )


def _named(table: str) -> sql.Identifier:
    return sql.Identifier("edw", table)
