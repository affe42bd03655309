"""`edw history`: prepares the history in PostgreSQL, shows its state, and exports it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.cli.cli_session import EXIT_FAILED, run, settings_of_history
from worker.cli.commands import history_export
from worker.cli.console import json_option, print_json
from worker.domain.humanize import counted, size

if TYPE_CHECKING:
    from worker.history.inspection import HistoryStatus


@click.group(name="history")
def command() -> None:
    """Prepare the history in PostgreSQL (EDW_HISTORY_URL), show its state, and export it."""


command.add_command(history_export.command)


@command.command()
@json_option
def migrate(as_json: bool) -> None:
    """Make or renew the history's tables.

    Workers do it at their start, unless EDW_HISTORY_MIGRATE is manual. It may run while workers of this version, or of
    the one before, are at work. Repeating it is safe.
    """
    settings = settings_of_history()
    from worker.cli.history_session import history_session
    from worker.history import migrations
    from worker.history.partitions import Partitions

    async def work() -> None:
        async with history_session(settings) as database:
            done = await migrations.migrate(database)
            async with database.connection() as connection:
                await connection.set_autocommit(True)
                made = await Partitions(connection).make_ahead(_now())
        if as_json:
            print_json({"applied": [each.number for each in done], "partitions_made": made})
        else:
            names = ", ".join(f"{each.number:04} {each.name}" for each in done)
            click.echo(f"applied {names}" if done else "the schema is up to date")
            if made:
                click.echo(f"made {counted(made, 'partition')}")

    run(work())


@command.command()
@json_option
def status(as_json: bool) -> None:
    """Show the server, the schema, the days that are kept, and what they take on disk.

    Exit code: 1 if the schema lacks a migration.
    """
    settings = settings_of_history()
    from worker.cli.history_session import history_session
    from worker.history.inspection import read_status

    async def work() -> int:
        async with history_session(settings) as database:
            found = await database.read(read_status)
            address = database.address
        if as_json:
            print_json(_document(found, address))
        else:
            for line in _lines(found, address):
                click.echo(line)
        return EXIT_FAILED if found.missing else 0

    run(work())


def _lines(found: "HistoryStatus", address: str) -> list[str]:
    lz4 = "with lz4" if found.has_lz4 else "without lz4"
    lines = [f"history   {address}, PostgreSQL {found.version}, {lz4}"]
    if found.missing:
        return [*lines, f'schema    lacks {", ".join(found.missing)}: run "edw history migrate"']
    lines.append(f"schema    up to date (migration {found.applied[-1]:04})")
    if found.first_day and found.last_day:
        lines.append(f"days      {found.first_day} to {found.last_day}")
    sizes = ", ".join(f"{table} {size(taken)}" for table, taken in found.sizes.items())
    return [*lines, f"on disk   {sizes}; together {size(sum(found.sizes.values()))}"]


def _document(found: "HistoryStatus", address: str) -> dict[str, object]:
    return {
        "address": address,
        "version": found.version,
        "lz4": found.has_lz4,
        "writable": found.writable,
        "applied": list(found.applied),
        "missing": list(found.missing),
        "first_day": found.first_day.isoformat() if found.first_day else None,
        "last_day": found.last_day.isoformat() if found.last_day else None,
        "bytes": found.sizes,
    }


def _now() -> int:
    return round(datetime.now(UTC).timestamp() * 1000)
