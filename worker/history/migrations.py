"""The history's schema: numbered files of plain SQL, each applied once and in order, by one process at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from worker.history.database import Connection, HistoryDatabase, HistoryRefused, mapped

#: The key of the advisory lock that a process holds while it migrates.
_LOCK = 7_310_822_001
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
#: Seconds that a process waits for another one's migration.
LOCK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of migrations/."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> Sequence[Migration]:
    """Return all migrations of this build, in order."""
    found = [
        Migration(int(name[1]), name[2], each.read_text())
        for each in (files("worker.history") / "migrations").iterdir()
        if (name := _NAME.fullmatch(each.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


async def applied(connection: Connection) -> list[int]:
    """Return the numbers of the migrations that the database has, in order; none in an empty database."""
    with mapped():
        found = await connection.execute("SELECT to_regclass('edw.migrations') IS NOT NULL")
        if (await found.fetchone()) != (True,):
            return []
        rows = await (await connection.execute("SELECT number FROM edw.migrations ORDER BY number")).fetchall()
    return [int(number) for (number,) in rows]


async def missing(connection: Connection) -> list[Migration]:
    """Return the migrations of this build that the database does not have."""
    known = set(await applied(connection))
    return [each for each in migrations() if each.number not in known]


async def check(connection: Connection) -> None:
    """Raise HistoryRefused if the database lacks a migration that this build needs."""
    if wanted := await missing(connection):
        lacking = f"{wanted[0].number:04} ({wanted[0].name})"
        raise HistoryRefused(f'the history\'s schema lacks the migration {lacking}: run "edw history migrate"')


async def migrate(database: HistoryDatabase) -> list[Migration]:
    """Apply the migrations that are missing, each in a transaction of its own; return them.

    Processes that migrate at the same time wait for each other. Migrations of a newer build stay as they are: each
    must be safe beside processes of the build before it.
    """
    done = []
    async with database.connection("edw-migrate") as connection:
        await connection.set_autocommit(True)
        if not await missing(connection):
            return []
        await connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            await _make_schema(connection)
            for each in await missing(connection):
                async with connection.transaction():
                    await connection.execute(each.sql.encode())
                    await connection.execute(
                        "INSERT INTO edw.migrations (number, name) VALUES (%s, %s)", (each.number, each.name)
                    )
                done.append(each)
        finally:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
    return done


async def _make_schema(connection: Connection) -> None:
    # Where an operator has made the schema for a role with few rights, that role may not create one.
    found = await connection.execute("SELECT to_regnamespace('edw') IS NOT NULL")
    if (await found.fetchone()) != (True,):
        await connection.execute("CREATE SCHEMA edw")
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS edw.migrations"
        " (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
