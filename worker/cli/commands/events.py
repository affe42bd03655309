"""`edw events`: erases events."""

import click

from worker.cli.cli_session import (
    EXIT_FAILED,
    CliSession,
    CommandFailure,
    run,
    scope_of,
    scope_options,
    scope_words,
    session,
)
from worker.cli.console import console, json_option, print_json
from worker.domain.affected_resource import AffectedResource
from worker.domain.change import Change, ChangeAction
from worker.domain.event import Scope, event_ref
from worker.domain.humanize import counted
from worker.ledger.inspection.event_history import EventReader

#: Events per read.
PAGE = 200


@click.group(name="events")
def command() -> None:
    """Erase events: their data, and the answers to them."""


@command.command()
@click.argument("id", required=False)
@click.option("--resource", nargs=2, metavar="TYPE ID", help="All kept events of a resource, such as: order 123.")
@scope_options
@json_option
def erase(id: str | None, resource: tuple[str, str] | None, store: str | None, org: str | None, as_json: bool) -> None:
    """Erase an event, or all events of a resource; it cannot be undone.

    The data of the event, the answers of receivers and what was sent go. Pending jobs are cancelled. Counts, ids and
    the outcomes of attempts stay, and so does the digest by which a repeated event is recognised.
    """
    if (id is None) == (resource is None):
        raise click.UsageError("give either an event's ID, or --resource TYPE ID")
    scope = scope_of(store, org)

    async def work() -> int:
        async with session() as at:
            if id is not None:
                erased = [id] if await _erase(at, scope, id, event_ref(scope, id)) else []
            else:
                assert resource is not None  # noqa: S101  (checked above)
                erased = await _erase_all(at, scope, AffectedResource(*resource))
        if as_json:
            print_json({"erased": erased})
        elif erased:
            click.echo(f"erased {counted(len(erased), 'event')}")
        else:
            click.echo(f"no such event is kept ({scope_words(scope)}; see --store and --org)")
        return 0 if erased else EXIT_FAILED

    run(work())


async def _erase(at: CliSession, scope: Scope, event_id: str, ref: str) -> bool:
    change = Change(at.actor, ChangeAction.EVENT_ERASED, scope.key, "event", event_id)
    return await at.ledger.erasure.erase(ref, change)


async def _erase_all(at: CliSession, scope: Scope, resource: AffectedResource) -> list[str]:
    """Erase every kept event of a resource.

    The ledger's index has only the last ones, so all events of the scope are read there. The history's has all.
    """
    key, erased, offset = resource.key(scope.key), dict[str, str](), 0
    kept = EventReader(at.ledger.redis)
    with console(stderr=True).status("looking for events") as status:
        while True:
            # New events shift the pages, so that some come again; none is missed.
            page = await kept.page(scope, offset, PAGE)
            for event in page.items:
                if event.resource_key == key and await _erase(at, scope, event.id, event.ref):
                    erased[event.ref] = event.id
            offset += PAGE
            if offset >= page.total:
                break
            status.update(f"{offset:,} of {page.total:,} events read, {len(erased):,} erased")
        if at.settings.history_url is not None:
            await _erase_archived(at, scope, resource, erased)
    return list(erased.values())


async def _erase_archived(at: CliSession, scope: Scope, resource: AffectedResource, erased: dict[str, str]) -> None:
    """Erase the events of a resource that only the history has; add them to `erased`, by reference."""
    till: int | None = None
    while True:
        page = await at.ledger.events.until(till).page(scope, 0, PAGE, resource)
        if page.history_away:
            raise CommandFailure("the history does not answer: what it has of the resource is not erased; try again")
        fresh = [event for event in page.items if event.ref not in erased]
        for event in fresh:
            if await _erase(at, scope, event.id, event.ref):
                erased[event.ref] = event.id
        if not fresh or len(page.items) < PAGE:
            return
        till = page.items[-1].accepted_at
