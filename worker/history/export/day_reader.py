"""Reads a day of a kind, by a server-side cursor on the day's own partition."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from worker.history.database import Connection
from worker.history.days import day_of, parsed, partition

#: Rows of one fetch at first, and at most; a fetch is to have about so many bytes.
FIRST_ROWS, MOST_ROWS = 100, 2_000
FETCH_BYTES = 4 * 1024 * 1024

#: The columns that columns.py reads of each kind, in its order.
_SELECTED: Mapping[str, str] = {
    "events": "e.ref, e.scope, e.head, {payload}, e.set_aside",
    "jobs": "e.id::text, e.event, e.integration, e.state, e.reason, e.attempts, e.epoch, e.lost, e.opened_at,"
    " e.ended_at, e.event_id, e.event_type, e.scope",
    "logs": "e.job::text, e.attempt, e.record, e.exchange, e.scope",
    "changes": "e.record, e.scope",
}


class DayDropped(Exception):
    """The day is not kept any more."""


@dataclass(frozen=True, slots=True)
class KeptDays:
    """The days that the history has, by kind, and today."""

    days: Mapping[str, Sequence[date]]
    today: date


async def kept_days(connection: Connection) -> KeptDays:
    """Return the days that have a partition. Those without one have no rows."""
    rows = await (
        await connection.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE c.relnamespace = to_regnamespace('edw') AND c.relkind = 'r' AND NOT i.inhdetachpending"
        )
    ).fetchall()
    found: dict[str, list[date]] = {}
    for name in sorted(name for (name,) in rows):
        if known := parsed(name):
            found.setdefault(known[0], []).append(known[1])
    clock = await (await connection.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000")).fetchone()
    assert clock is not None  # noqa: S101  (a query without a table has one row)
    return KeptDays(found, day_of(float(clock[0])))


async def versions(connection: Connection) -> dict[tuple[str, date], int]:
    """Return how often the rows of each day were written, by kind and day."""
    rows = await (await connection.execute("SELECT kind, day, version FROM edw.day_versions")).fetchall()
    return {(kind, day): int(version) for kind, day, version in rows}


class DayReader:
    """Reads one kind of one day; with `scope` (Scope.key), only what belongs to it."""

    def __init__(self, connection: Connection, kind: str, day: date, scope: str | None, *, payloads: bool) -> None:
        self._connection = connection
        self._kind = kind
        self._day = day
        self._scope = scope
        self._payloads = payloads

    async def batches(self) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield the rows, as many at a time as memory is to hold. Raises DayDropped."""
        wanted, most = FIRST_ROWS, MOST_ROWS
        async with self._connection.cursor(name="edw_export") as cursor:
            try:
                await cursor.execute(self._query(), [self._scope] if self._scope is not None else [], binary=True)
            except psycopg.errors.UndefinedTable:
                raise DayDropped from None
            while rows := await cursor.fetchmany(wanted):
                yield rows
                size = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
                wanted = max(1, min(most, FETCH_BYTES * len(rows) // max(size, 1)))

    def _query(self) -> sql.Composed:
        source = sql.SQL("{} e").format(sql.Identifier("edw", partition(self._kind, self._day)))
        payload = "NULL::bytea"
        if self._kind == "events" and self._payloads:
            kept = sql.Identifier("edw", partition("payloads", self._day))
            source = sql.SQL("{} LEFT JOIN {} p ON p.ref = e.ref").format(source, kept)
            payload = "p.payload"
        where = sql.SQL(" WHERE e.scope = %s") if self._scope is not None else sql.SQL("")
        # The texts are those of this module.
        selected = sql.SQL(_SELECTED[self._kind].format(payload=payload))
        return sql.SQL("SELECT {} FROM {}{}").format(selected, source, where)
