"""`edw history export`: writes the history to files, one for each day and kind."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.cli.cli_session import CommandFailure, run, scope_of, scope_options, settings_of_history
from worker.cli.console import console, json_option, print_json
from worker.domain.humanize import counted

if TYPE_CHECKING:
    from worker.history.export.exporter import ExportReport
    from worker.history.export.exporter import Progress as Notify
    from worker.history.export.targets import Target

#: Those of worker/history/export/columns.py, which is not imported where there is no history.
KINDS = ("events", "jobs", "logs", "changes")
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(name="export")
@click.argument("target", metavar="TARGET")
@click.option("--from", "first", metavar="DAY", type=_DAY, help="The first day (UTC); by default the oldest.")
@click.option("--to", "last", metavar="DAY", type=_DAY, help="The last day (UTC); by default yesterday.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["parquet", "ndjson"]),
    default="parquet",
    show_default=True,
    help="Of the files.",
)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this kind; may be repeated.")
@click.option("--force", is_flag=True, help="Also write what the target has.")
@scope_options
@json_option
def command(
    target: str,
    first: datetime | None,
    last: datetime | None,
    format_: str,
    kinds: Sequence[str],
    force: bool,
    store: str | None,
    org: str | None,
    as_json: bool,
) -> None:
    """Export the history to TARGET: a folder, or s3://bucket/prefix.

    Each day of each kind is one file: events/day=2026-11-28/events.parquet. A file is there once it is whole. Days that
    the target has are left out, unless they have changed since; an export that was interrupted goes on by day.

    Without --store and --org, it has every store. It contains what the API shows: no secret, and no erased event.
    For S3, keys, region and endpoint are those of the environment (AWS_PROFILE, AWS_ENDPOINT_URL_S3 and so on).
    """
    settings = settings_of_history()
    if first and last and first > last:
        raise click.BadParameter(f"{last:%Y-%m-%d} is before --from", param_hint="'--to'")
    if format_ == "parquet" and find_spec("pyarrow") is None:
        raise CommandFailure(
            "Parquet needs the extra `event-delivery-worker[parquet]`: install it, or choose --format ndjson"
        )
    from worker.cli.history_session import history_session
    from worker.history.export.exporter import Exporter, ExportPlan
    from worker.history.export.targets import TargetError

    scope = scope_of(store, org).key if store or org else None
    plan = ExportPlan(format_, scope, _date(first), _date(last), kinds or KINDS, force)

    async def work() -> None:
        async with history_session(settings) as database, _opened(target) as opened:
            with _progress() as notify:
                async with database.streaming("edw-export") as connection:
                    report = await Exporter(connection, opened, plan, notify).run()
        if as_json:
            print_json(_document(report))
        else:
            for line in _lines(report, plan.first):
                click.echo(line)

    try:
        run(work())
    except TargetError as error:
        raise CommandFailure(str(error)) from error


def _date(given: datetime | None) -> date | None:
    return given.date() if given else None


@asynccontextmanager
async def _opened(target: str) -> AsyncIterator["Target"]:
    from worker.history.export.targets import FolderTarget, TargetError

    scheme, separator, rest = target.partition("://")
    if not separator:
        yield FolderTarget(Path(target))
        return
    if scheme != "s3" or not rest.partition("/")[0]:
        raise TargetError(f'unknown target "{target}": expected a folder, or s3://bucket/prefix')
    # Its client takes a while to import.
    from worker.history.export.s3_target import s3_target

    async with s3_target(target) as opened:
        yield opened


@contextmanager
def _progress() -> Iterator["Notify"]:
    """Show a bar on standard error, if that is a terminal."""
    out = console(stderr=True)
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("files")),
        *(TimeElapsedColumn(), TextColumn("{task.fields[rows]}")),
    )
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("exporting", total=None, rows="")

        def notify(done: int, files: int, name: str, rows: int) -> None:
            bar.update(task, completed=done, total=files, description=name, rows=f"{rows:,} rows")

        yield notify


def _lines(report: "ExportReport", first: date | None) -> Iterator[str]:
    rows = sum(each.rows for each in report.written)
    yield f"exported {counted(len(report.written), 'file')} with {counted(rows, 'row')}"
    if report.kept:
        yield f"{counted(report.kept, 'file')} of the target left as they are"
    for name in report.outdated:
        yield f"{name} has changed since; its events' data is no longer kept, and --force writes it without"
    for day in report.growing:
        yield f"left out {day}, which still grows: --to {day} exports what it has by now"
    if report.oldest is None:
        yield "the history has no day yet"
    elif first is not None and first < report.oldest:
        yield f"the history begins with {report.oldest}"


def _document(report: "ExportReport") -> dict[str, object]:
    return {
        "written": [{"name": each.name, "rows": each.rows} for each in report.written],
        "kept": report.kept,
        "outdated": report.outdated,
        "left_out": [day.isoformat() for day in report.growing],
        "first_day": report.oldest.isoformat() if report.oldest else None,
    }
