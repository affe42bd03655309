"""The history's schema: migrations, partitions, roles, and the commands that show them."""

import asyncio
import json
import re
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from tests.counterparts.postgres import PostgresServer
from worker.cli import edw
from worker.domain.humanize import counted
from worker.history import migrations
from worker.history.database import HistoryDatabase, HistoryRefused, HistoryUnavailable
from worker.history.days import TABLES, day_of, partition, wanted
from worker.history.inspection import read_status
from worker.history.migrations import Migration
from worker.history.partitions import Partitions

OPERATIONS = Path(__file__).parents[3] / "deploy" / "OPERATIONS.md"
ROLES = Path(__file__).parents[3] / "deploy" / "postgres-roles.sql"
DAY_MS = 86_400_000
#: 2026-11-29, at noon.
NOW = 1_795_953_600_000


async def test_processes_that_migrate_at_once_apply_each_migration_once(empty_history: HistoryDatabase) -> None:
    done = await asyncio.gather(*(migrations.migrate(empty_history) for _ in range(8)))

    assert sorted(each.number for one in done for each in one) == [each.number for each in migrations.migrations()]
    async with empty_history.connection() as connection:
        await migrations.check(connection)
    assert await migrations.migrate(empty_history) == []


def test_no_two_migrations_have_one_number() -> None:
    numbers = [each.number for each in migrations.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_migration_that_fails_leaves_nothing_of_itself_and_is_tried_again(
    history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = migrations.migrations()
    broken = Migration(9000, "broken", "CREATE TABLE edw.half (); SELECT 1/0;")
    mended = Migration(9000, "broken", "CREATE TABLE edw.half ();")
    monkeypatch.setattr(migrations, "migrations", lambda: [*made, broken])
    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrations.migrate(history)
    async with history.connection() as connection:
        with pytest.raises(HistoryRefused, match=r"lacks the migration 9000 \(broken\): run \"edw history migrate\""):
            await migrations.check(connection)

    monkeypatch.setattr(migrations, "migrations", lambda: [*made, mended])
    assert await migrations.migrate(history) == [mended]


async def test_a_newer_schema_suits_an_older_build(history: HistoryDatabase) -> None:
    async with history.connection() as connection:
        await connection.execute("INSERT INTO edw.migrations (number, name) VALUES (9001, 'newer')")
        await connection.commit()
    assert await migrations.migrate(history) == []
    assert (await history.read(read_status)).missing == []


async def test_days_have_partitions_ahead_and_are_dropped_whole(history: HistoryDatabase) -> None:
    async with history.connection() as connection:
        await connection.set_autocommit(True)
        partitions = Partitions(connection)
        assert await partitions.make_ahead(NOW) == 4 * len(TABLES)
        assert await Partitions(connection).make_ahead(NOW) == 0
        old = [date(2026, 8, 29), date(2026, 8, 31), date(2026, 10, 29), date(2026, 10, 30)]
        await partitions.make(old)

        dropped = await partitions.drop_expired(NOW, 90 * DAY_MS, 30 * DAY_MS)

        assert dropped == [
            *(partition(table, date(2026, 8, 29)) for table in sorted(TABLES)),
            partition("payloads", date(2026, 8, 31)),
            partition("payloads", date(2026, 10, 29)),
        ]
        assert not set(dropped) & set(await partitions.names())
    status = await history.read(read_status)
    assert (status.first_day, status.last_day) == (date(2026, 8, 31), wanted(NOW)[-1])


async def test_a_drop_that_was_interrupted_is_finished_by_the_next(
    history: HistoryDatabase, postgres: PostgresServer, database_name: str
) -> None:
    name = partition("logs", day_of(NOW))
    async with history.connection() as connection, history.connection() as reader:
        await connection.set_autocommit(True)
        partitions = Partitions(connection)
        await partitions.make([day_of(NOW)])
        # A reader that still uses the table keeps the second half of the detaching waiting.
        await reader.execute("SELECT count(*) FROM edw.logs")
        await connection.execute("SET lock_timeout = '100ms'")
        with pytest.raises(HistoryUnavailable):
            await partitions.drop(name)
        await reader.rollback()
        assert postgres.run("SELECT count(*) FROM pg_inherits WHERE inhdetachpending", database_name) == [(1,)]

        await partitions.drop(name)

        assert name not in await partitions.names()


async def test_a_day_that_somebody_reads_is_dropped_later_and_the_others_at_once(history: HistoryDatabase) -> None:
    days = [date(2026, 8, 27), date(2026, 8, 28)]
    async with history.connection() as connection, history.streaming("a reader") as reader:
        await connection.set_autocommit(True)
        partitions = Partitions(connection)
        await partitions.make(days)
        await connection.execute("SET lock_timeout = '100ms'")
        await connection.execute("INSERT INTO edw.day_versions VALUES ('logs', %s, 3)", (days[0],))
        second = sorted(partition(table, days[1]) for table in TABLES)
        await reader.execute(f"SELECT count(*) FROM edw.{second[1]}".encode())

        first = sorted(partition(table, days[0]) for table in TABLES)
        assert await partitions.drop_expired(NOW, 90 * DAY_MS, 30 * DAY_MS) == [*first, second[0]]
        assert await (await connection.execute("SELECT * FROM edw.day_versions")).fetchall() == []

        await reader.rollback()
        assert await partitions.drop_expired(NOW, 90 * DAY_MS, 30 * DAY_MS) == second[1:]


async def test_payloads_are_compressed_by_lz4(history: HistoryDatabase) -> None:
    async with history.connection() as connection:
        await connection.set_autocommit(True)
        await Partitions(connection).make([day_of(NOW)])
        found = await connection.execute(
            "SELECT attcompression FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'payload'",
            (f"edw.{partition('payloads', day_of(NOW))}",),
        )
        assert await found.fetchall() == [("l",)]


async def test_a_database_that_does_not_use_lz4_is_found_and_the_page_mends_it(
    history: HistoryDatabase, postgres: PostgresServer, database_name: str
) -> None:
    assert (await history.read(read_status)).uses_lz4
    for table, column in (("logs", "exchange"), ("changes", "record")):
        postgres.run(f"ALTER TABLE edw.{table} ALTER COLUMN {column} SET COMPRESSION pglz", database_name)
        assert not (await history.read(read_status)).uses_lz4
    ((statements,),) = [re.findall(r"```sql\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)]
    for statement in statements.split(";"):
        if statement.strip():
            postgres.run(statement, database_name)
    assert (await history.read(read_status)).uses_lz4


async def test_the_writer_migrates_and_the_reader_only_reads(postgres: PostgresServer, database_name: str) -> None:
    roles = "\n".join(line for line in ROLES.read_text().splitlines() if not line.startswith("--"))
    with postgres.session(database_name) as superuser:
        superuser.execute("DROP ROLE IF EXISTS edw_writer, edw_reader")
        superuser.execute(roles.encode())
    try:
        writer = HistoryDatabase(postgres.url(database_name, "edw_writer"))
        assert await migrations.migrate(writer)
        async with writer.connection() as connection:
            await connection.set_autocommit(True)
            await Partitions(connection).make([day_of(NOW)])
            await connection.execute("INSERT INTO edw.archivers VALUES ('0', 'somebody')")
            await Partitions(connection).drop(partition("events", day_of(NOW)))

        reader = HistoryDatabase(postgres.url(database_name, "edw_reader"))
        rights = [
            (each.writable, each.owns) for each in (await writer.read(read_status), await reader.read(read_status))
        ]
        assert rights == [(True, True), (False, False)]
        for table in (*TABLES, "day_versions", "archivers"):
            # Somebody else has made it, such as by a migration as a superuser.
            postgres.run(f"ALTER TABLE edw.{table} OWNER TO CURRENT_USER", database_name)
            assert not (await writer.read(read_status)).owns, table
            postgres.run(f"ALTER TABLE edw.{table} OWNER TO edw_writer", database_name)
        async with reader.connection() as connection:
            await connection.set_autocommit(True)
            # Partitions of their own, because the rights of those that are made later matter.
            for table in (*(partition(table, day_of(NOW)) for table in TABLES if table != "events"), "day_versions"):
                await connection.execute(f"SELECT * FROM edw.{table}".encode())
            for statement in (
                "INSERT INTO edw.archivers VALUES ('1', 'me')",
                "DELETE FROM edw.logs",
                "DROP TABLE edw.jobs",
                "CREATE TABLE edw.mine ()",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await connection.execute(statement.encode())
        for each in (writer, reader):
            await each.close()
    finally:
        with postgres.session(database_name) as superuser:
            superuser.execute("DROP SCHEMA edw CASCADE; DROP OWNED BY edw_writer CASCADE")
            superuser.execute("DROP OWNED BY edw_reader; DROP ROLE edw_writer, edw_reader")


async def test_a_database_that_is_away_is_said_so_and_not_asked_again_at_once(postgres: PostgresServer) -> None:
    now = [0.0]
    gone = HistoryDatabase("postgresql://edw:s3cret@127.0.0.1:1/edw", lambda: now[0])
    with pytest.raises(HistoryUnavailable, match="does not answer") as first:
        await gone.read(read_status)
    assert "s3cret" not in str(first.value)
    with pytest.raises(HistoryUnavailable, match="a moment ago"):
        await gone.read(read_status)
    now[0] += 60
    with pytest.raises(HistoryUnavailable, match="refused"):
        await gone.read(read_status)
    await gone.close()


def test_the_commands_make_the_tables_and_show_them(
    postgres: PostgresServer, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDW_HISTORY_URL", postgres.url(database_name))
    before = CliRunner().invoke(edw, ["history", "status"])
    assert (before.exit_code, 'run "edw history migrate"' in before.output) == (1, True)

    made = CliRunner().invoke(edw, ["history", "migrate"])

    names = ", ".join(f"{each.number:04} {each.name}" for each in migrations.migrations())
    assert made.output.splitlines() == [f"applied {names}", f"made {counted(4 * len(TABLES), 'partition')}"]
    assert CliRunner().invoke(edw, ["history", "migrate"]).output == "the schema is up to date\n"
    shown = CliRunner().invoke(edw, ["history", "status", "--json"])
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.output)
    assert document["missing"] == []
    days = date.fromisoformat(document["last_day"]) - date.fromisoformat(document["first_day"])
    assert days == timedelta(days=3)
    assert "up to date" in CliRunner().invoke(edw, ["history", "status"]).output


def test_without_a_history_the_commands_say_how_to_get_one() -> None:
    for words in (["status"], ["migrate"], ["export", "folder"]):
        found = CliRunner().invoke(edw, ["history", *words])
        assert (found.exit_code, found.output) == (1, "Error: there is no history: EDW_HISTORY_URL is not set\n")
