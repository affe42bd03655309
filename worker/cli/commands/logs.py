"""`edw logs`: shows the logs of attempts, past and new."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

import click
from msgspec import to_builtins
from rich.table import Table
from rich.text import Text

from worker.cli.cli_session import (
    CliSession,
    CommandFailure,
    heed_cancellation,
    run,
    scope_of,
    scope_options,
    scope_words,
    session,
)
from worker.cli.console import cells, console, json_option, print_json, print_json_line, table, verdict
from worker.cli.every_store import newest_of_every_store
from worker.cli.selection import find_integration
from worker.cli.tail import Tail
from worker.domain.event import Scope, rfc3339
from worker.domain.humanize import duration, one_line
from worker.domain.integration_log import IntegrationLog
from worker.domain.resources import log_document
from worker.ledger.pages import Page as LedgerPage

#: Seconds between two reads of new logs.
FOLLOW_SECONDS = 0.25
#: Logs per read.
PAGE = 200

Page = Callable[[int, int], Awaitable[Sequence[IntegrationLog]]]


@click.command(name="logs")
@click.option("--integration", metavar="ID", help="Only logs of this integration.")
@click.option("--job", metavar="ID", help="Only logs of this job.")
@click.option("--failed", is_flag=True, help="Only failed attempts.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=25, show_default=True, help="Logs to show at most.")
@click.option("--follow", is_flag=True, help="Go on with new logs as they arrive, until Ctrl-C.")
@click.option("--all-stores", is_flag=True, help="Logs of every store; reads through the whole ledger.")
@scope_options
@json_option
def command(
    integration: str | None,
    job: str | None,
    failed: bool,
    limit: int,
    follow: bool,
    all_stores: bool,
    store: str | None,
    org: str | None,
    as_json: bool,
) -> None:
    """Show the logs of attempts, newest first; oldest first with --follow.

    Logs are kept by store. --all-stores reads each store that has an integration now, one after the other. This takes
    longer the more the ledger holds, and it cannot be followed.
    """
    if all_stores:
        if integration or job or follow or store or org:
            raise click.UsageError(
                "--all-stores cannot be combined with --integration, --job, --follow, --store or --org"
            )
        run(_show_all(limit, failed=failed, as_json=as_json))
        return
    scope = scope_of(store, org)

    async def work() -> None:
        async with session() as at:
            page = await _page(at, scope, integration, job, failed)
            wanted = _failed if failed else _every
            if follow:
                await _follow(page, wanted, limit, _say_json if as_json else _say)
                return
            found = await _newest(page, wanted, limit)
        if as_json:
            print_json({"data": [log_document(each) for each in found]})
        elif found:
            console().print(_listing(found))
        else:
            click.echo("no logs" if integration or job else f"no logs ({scope_words(scope)}; see --store and --org)")

    try:
        run(work())
    except KeyboardInterrupt:
        # Ctrl-C is how following ends.
        if not follow:
            raise


def attempts_table(logs: Iterable[IntegrationLog]) -> Table:
    """Return a table of one job's logs."""
    columns = ("attempt", "succeeded", "status_code", "took", "created", "error_detail", "body")
    listing = table(*columns, right=["attempt"], whole=["took", "created"])
    for log in logs:
        listing.add_row(
            *cells(log.attempt),
            verdict(log.succeeded, "true", "false"),
            *cells(log.status_code, _took(log), rfc3339(log.created_at), log.error_detail, one_line(log.body, 60)),
        )
    return listing


async def _show_all(limit: int, *, failed: bool, as_json: bool) -> None:
    async with session() as at:
        with console(stderr=True).status("looking for logs"):
            found = await newest_of_every_store(at.ledger, limit, failed=failed)
    if as_json:
        whose = [{"store_id": each.scope.store_id, "org_id": each.scope.org_id} for each in found]
        logs = [to_builtins(log_document(each.log)) for each in found]
        print_json({"data": [{**log, **scope} for log, scope in zip(logs, whose, strict=True)]})
    elif found:
        console().print(_listing((each.log for each in found), {each.id: each.scope for each in found}))
    else:
        click.echo("no logs of any store that has an integration")


async def _page(at: CliSession, scope: Scope, integration: str | None, job: str | None, failed: bool) -> Page:
    logs = at.ledger.logs
    if job:
        if not (await logs.of_job(job, 0, 1)).integration_id:
            raise CommandFailure(f"there is no job {job}, or it is no longer kept")
        return _items(partial(logs.of_job, job))
    if integration:
        owner = await find_integration(at, integration, scope)
        return _items(partial(logs.of_integration, owner.id))
    return _items(partial(logs.failures if failed else logs.of_scope, scope))


def _items(read: Callable[[int, int], Awaitable[LedgerPage[IntegrationLog]]]) -> Page:
    async def page(offset: int, limit: int) -> Sequence[IntegrationLog]:
        return (await read(offset, limit)).items

    return page


async def _newest(page: Page, wanted: Callable[[IntegrationLog], bool], limit: int) -> list[IntegrationLog]:
    found: list[IntegrationLog] = []
    offset = 0
    while len(found) < limit and (read := await page(offset, PAGE)):
        found += filter(wanted, read)
        offset += PAGE
        if len(read) < PAGE:
            break
    return found[:limit]


async def _follow(
    page: Page, wanted: Callable[[IntegrationLog], bool], limit: int, say: Callable[[IntegrationLog], None]
) -> None:
    tail = Tail()
    for log in tail.new(await page(0, PAGE))[-limit:]:
        if wanted(log):
            say(log)
    while True:
        # Redis does not announce new logs, and a read costs next to nothing.
        heed_cancellation()
        await asyncio.sleep(FOLLOW_SECONDS)
        for log in await _unseen(page, tail):
            if wanted(log):
                say(log)


async def _unseen(page: Page, tail: Tail) -> list[IntegrationLog]:
    read: list[IntegrationLog] = []
    while logs := await page(len(read), PAGE):
        read += logs
        # Read back to logs that were shown before; if pages shifted meanwhile, tail.new() drops the repeats.
        if len(logs) < PAGE or any(map(tail.knows, logs)):
            break
    return tail.new(read)


def _failed(log: IntegrationLog) -> bool:
    return not log.succeeded


def _every(_: IntegrationLog) -> bool:
    return True


def _say_json(log: IntegrationLog) -> None:
    print_json_line(log_document(log))


def _say(log: IntegrationLog) -> None:
    about = f"{log.event_type}  attempt {log.attempt}  job {log.job_id}  {_took(log)}"
    console().print(
        Text(f"{rfc3339(log.created_at)}  "),
        verdict(log.succeeded, "delivered", "failed"),
        Text(f"  {log.status_code or '-'}  {about}"),
        Text("" if log.succeeded else f"  {one_line(log.error_detail, 200)}"),
        sep="",
        soft_wrap=True,
    )


def _listing(logs: Iterable[IntegrationLog], scopes: Mapping[str, Scope] | None = None) -> Table:
    """Return a table of logs; `scopes`, by log id, adds whose each log is."""
    listing = table("created", "try", "code", "took", "outcome", right=["try"], whole=["created", "took"])
    for log in logs:
        outcome = verdict(log.succeeded, "delivered", one_line(log.error_detail, 200))
        # The error is what people look for: it gets the space, with the ids below it.
        about = Text(f"\n{log.event_type}\njob {log.job_id}\nintegration {log.integration_id}", "dim")
        if scopes:
            about.append(f"\n{scope_words(scopes[log.id])}")
        listing.add_row(
            *cells(rfc3339(log.created_at), log.attempt, log.status_code, _took(log)), outcome.append_text(about)
        )
    return listing


def _took(log: IntegrationLog) -> str:
    return duration(log.processing_time * 1000)
