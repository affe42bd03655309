"""`edw jobs`: lists and shows jobs."""

from collections.abc import Mapping, Sequence
from time import time

import click
import msgspec
from rich.table import Table

from worker.cli.cli_session import CommandFailure, run, scope_of, scope_options, session
from worker.cli.console import cells, console, json_option, print_json, table, warn_if_away
from worker.cli.integration_names import name_in, names_of
from worker.cli.log_lines import NAME_CHARS, attempts_table
from worker.cli.selection import find_integration
from worker.domain.event import rfc3339
from worker.domain.humanize import due, one_line
from worker.domain.job import Job, JobState
from worker.domain.resources import job_document, log_document


@click.group(name="jobs")
def command() -> None:
    """List and show jobs. A job is one event owed to one integration."""


@command.command("list")
@click.option("--integration", metavar="ID", help="All jobs of this integration, newest first.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=25, show_default=True, help="Jobs to list at most.")
@scope_options
@json_option
def list_(integration: str | None, limit: int, store: str | None, org: str | None, as_json: bool) -> None:
    """List pending jobs, the nearest deadline first; with --integration, all jobs of it."""

    async def work() -> None:
        async with session() as at:
            ledger = at.ledger
            if integration:
                owner = await find_integration(at, integration, scope_of(store, org))
                page = await ledger.jobs.of_integration(owner.id, 0, limit)
                warn_if_away(page)
                jobs = page.items
            else:
                jobs = await ledger.jobs.get(await ledger.jobs.pending(0, limit))
            names = await names_of(at, jobs)
        if as_json:
            print_json({"data": [job_document(each) for each in jobs]})
        elif jobs:
            console().print(_listing(jobs, names, now=time() * 1000))
        else:
            click.echo("no jobs" if integration else "no pending jobs")

    run(work())


@command.command()
@click.argument("id")
@json_option
def show(id: str, as_json: bool) -> None:
    """Show one job with the log of each of its attempts."""

    async def work() -> None:
        async with session() as at:
            found = await at.ledger.jobs.get([id])
            if not found:
                raise CommandFailure(f"there is no job {id}, or it is no longer kept")
            (job,) = found
            logs = (await at.ledger.logs.of_job(job.id, 0, job.attempts)).items
            names = await names_of(at, found)
        if as_json:
            shown = msgspec.to_builtins(job_document(job))
            print_json({"data": shown | {"logs": [log_document(each) for each in logs]}})
            return
        console().print(_details(job, name_in(names, job.integration_id), now=time() * 1000))
        if logs:
            console().print()
            console().print(attempts_table(reversed(logs)))

    run(work())


def _listing(jobs: Sequence[Job], names: Mapping[str, str], now: float) -> Table:
    listing = table("job", "integration", "event", "state", "tries", right=["tries"], whole=["job"])
    for job in jobs:
        name = one_line(name_in(names, job.integration_id), NAME_CHARS)
        listing.add_row(*cells(job.id, name, job.event_type, _state(job, now), job.attempts))
    return listing


def _details(job: Job, name: str, now: float) -> Table:
    rows = {
        "job": job.id,
        "state": _state(job, now),
        "attempts": str(job.attempts) + (f", of which {job.lost} lost with their worker" if job.lost else ""),
        "event": f"{job.event_type} {job.event_id}",
        "integration": f"{name} {job.integration_id}",
        "opened": rfc3339(job.opened_at),
        "ended": rfc3339(job.ended_at) if job.ended_at else None,
    }
    details = table("attribute", "value")
    details.show_header = False
    for label, value in rows.items():
        details.add_row(*cells(label, value))
    return details


def _state(job: Job, now: float) -> str:
    if job.state is not JobState.PENDING:
        return f"{job.state.value} ({job.reason})" if job.reason else job.state.value
    return "in flight" if job.due_at is None else f"due {due(round(now - job.due_at))}"
