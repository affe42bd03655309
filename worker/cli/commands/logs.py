"""`edw logs`: shows the logs of attempts, past and new."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import click
from msgspec import to_builtins

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
from worker.cli.console import console, json_option, print_json, print_json_line, warn_if_away
from worker.cli.every_store import newest_of_every_store
from worker.cli.exchange_lines import exchange_lines
from worker.cli.integration_names import name_in, names_of
from worker.cli.log_lines import details_table, followed_line, lines_table
from worker.cli.selection import SHORTEST_PREFIX, find_integration
from worker.cli.tail import Tail
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.domain.resources import log_document
from worker.integrations.sent_body import sent_body
from worker.ledger.pages import Page as LedgerPage

#: Seconds between two reads of new logs.
FOLLOW_SECONDS = 0.25
#: Logs per read.
PAGE = 200
#: The newest logs of a store among which `edw logs show` looks for an id.
SEARCHED = 100_000

Page = Callable[[int, int], Awaitable[Sequence[IntegrationLog]]]


@click.group(name="logs", invoke_without_command=True)
@click.option("--integration", metavar="ID", help="Only logs of this integration.")
@click.option("--job", metavar="ID", help="Only logs of this job.")
@click.option("--failed", is_flag=True, help="Only failed attempts.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=25, show_default=True, help="Logs to show at most.")
@click.option("--follow", is_flag=True, help="Go on with new logs as they arrive, until Ctrl-C.")
@click.option("--all-stores", is_flag=True, help="Logs of every store; reads through the whole ledger.")
@scope_options
@json_option
@click.pass_context
def command(
    context: click.Context,
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

    Each attempt has one line. `edw logs show LOG` has everything about one.

    Logs are kept by store. --all-stores reads each store that has an integration now, one after the other. This takes
    longer the more the ledger holds, and it cannot be followed.
    """
    if context.invoked_subcommand:
        return
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
                await _follow(page, wanted, limit, _say_json if as_json else Speaker(at).say)
                return
            found = await _newest(page, wanted, limit)
            names = await names_of(at, found)
        if as_json:
            print_json({"data": [log_document(each) for each in found]})
        elif found:
            console().print(lines_table(found, names))
        else:
            click.echo("no logs" if integration or job else f"no logs ({scope_words(scope)}; see --store and --org)")

    try:
        run(work())
    except KeyboardInterrupt:
        # Ctrl-C is how following ends.
        if not follow:
            raise


@command.command()
@click.argument("id", metavar="LOG")
@click.option("--body", "body_only", is_flag=True, help="Print only the body that was sent, for the curl command.")
@scope_options
@json_option
def show(id: str, body_only: bool, store: str | None, org: str | None, as_json: bool) -> None:
    """Show everything about one attempt. LOG is the id of its log, or the beginning of the id.

    Of an integration's last failures that is also the request as it was sent, the answer, and a curl command that
    repeats the request; its secrets are variables (EDW_LOG_EXCHANGE). Its body: edw logs show LOG --body > body.json
    """

    async def work() -> None:
        async with session() as at:
            found = await _find(at, id.lower(), scope_of(store, org))
            if body_only:
                body = await sent_body(at.ledger, found)
                if body is None:
                    raise CommandFailure("the event of this log is no longer kept, or its integration was deleted")
                click.echo(body, nl=False)
                return
            (log,) = await at.ledger.logs.with_exchanges([found])
            names = await names_of(at, [log])
        if as_json:
            print_json({"data": log_document(log)})
        else:
            console().print(details_table(log, name_in(names, log.integration_id)))
            if log.exchange is not None:
                click.echo()
                for line in exchange_lines(log.exchange):
                    click.echo(line)

    run(work())


async def _find(at: CliSession, named: str, scope: Scope) -> IntegrationLog:
    """Return the newest of a scope's logs whose id begins so. Raises CommandFailure if there is none."""
    offset = 0
    while len(named) >= SHORTEST_PREFIX and offset < SEARCHED:
        logs = (await at.ledger.logs.of_scope(scope, offset, PAGE)).items
        if found := [each for each in logs if each.id.startswith(named)]:
            return found[0]
        if len(logs) < PAGE:
            break
        offset += PAGE
    raise CommandFailure(f'no log\'s id begins with "{named}" ({scope_words(scope)}; see --store and --org)')


async def _show_all(limit: int, *, failed: bool, as_json: bool) -> None:
    async with session() as at:
        with console(stderr=True).status("looking for logs"):
            found = await newest_of_every_store(at.ledger, limit, failed=failed)
        names = await names_of(at, [each.log for each in found])
    if as_json:
        whose = [{"store_id": each.scope.store_id, "org_id": each.scope.org_id} for each in found]
        logs = [to_builtins(log_document(each.log)) for each in found]
        print_json({"data": [{**log, **scope} for log, scope in zip(logs, whose, strict=True)]})
    elif found:
        console().print(lines_table((each.log for each in found), names, {each.id: each.scope for each in found}))
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
    warned = False

    async def page(offset: int, limit: int) -> Sequence[IntegrationLog]:
        nonlocal warned
        found = await read(offset, limit)
        if not warned:
            warn_if_away(found)
        warned = warned or found.history_away
        return found.items

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
    page: Page, wanted: Callable[[IntegrationLog], bool], limit: int, say: Callable[[IntegrationLog], Awaitable[None]]
) -> None:
    tail = Tail()
    for log in tail.new(await page(0, PAGE))[-limit:]:
        if wanted(log):
            await say(log)
    while True:
        # Redis does not announce new logs, and a read costs next to nothing.
        heed_cancellation()
        await asyncio.sleep(FOLLOW_SECONDS)
        for log in await _unseen(page, tail):
            if wanted(log):
                await say(log)


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


async def _say_json(log: IntegrationLog) -> None:
    print_json_line(log_document(log))


class Speaker:
    """Prints followed logs for people; reads the name of each integration once."""

    def __init__(self, at: CliSession) -> None:
        self._at = at
        self._names: dict[str, str] = {}

    async def say(self, log: IntegrationLog) -> None:
        """Print the line of a log."""
        if log.integration_id not in self._names:
            self._names[log.integration_id] = name_in(await names_of(self._at, [log]), log.integration_id)
        console().print(followed_line(log, self._names[log.integration_id]), soft_wrap=True)
