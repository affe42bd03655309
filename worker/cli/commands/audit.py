"""`edw audit`: lists the changes that people made."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec
from rich.table import Table

from worker.cli.cli_session import CliSession, run, scope_of, scope_options, scope_words, session
from worker.cli.console import cells, console, json_option, print_json, table
from worker.domain.change import Change
from worker.domain.event import Scope, rfc3339
from worker.domain.humanize import one_line
from worker.domain.resources import change_document

#: Changes per read.
PAGE = 1_000


@click.command(name="audit")
@click.option("--limit", type=click.IntRange(1, 100_000), default=25, show_default=True, help="Changes to list.")
@scope_options
@json_option
def command(limit: int, store: str | None, org: str | None, as_json: bool) -> None:
    """List the changes that people made, newest first: who, what, and from which state to which.

    The audit has integrations, tokens, redeliveries and keys of secrets. Each store has its own; without --store and
    --org, it is that of the platform's tokens, or of the only store. EDW_AUDIT_CAP and EDW_AUDIT_RETENTION bound what
    the ledger has of it; with a history, it reaches as far back as EDW_HISTORY_RETENTION.
    """
    scope = scope_of(store, org)

    async def work() -> None:
        async with session() as at:
            found, away = await _newest(at, scope, limit)
        if away:
            click.echo("warning: the history does not answer: older changes may be missing", err=True)
        if as_json:
            meta = {"meta": {"history": "unavailable"}} if away else {}
            print_json({"data": [change_document(each) for each in found], **meta})
        elif found:
            console().print(_listing(found))
        else:
            click.echo(f"no changes ({scope_words(scope)}; see --store and --org)")

    run(work())


async def _newest(at: CliSession, scope: Scope, limit: int) -> tuple[list[Change], bool]:
    """Return the newest changes of a scope, and whether the history did not answer."""
    # By id: changes that are made meanwhile shift the rest.
    found: dict[str, Change] = {}
    till: int | None = None
    offset, away = 0, False
    while len(found) < limit:
        page = await at.ledger.changes.until(till).of_scope(scope, offset, min(PAGE, limit - len(found)))
        found |= {each.id: each for each in page.items}
        away = away or page.history_away
        if not page.items:
            break
        if at.settings.history_url is None or away:
            offset += len(page.items)
        else:
            # The last time is read again, without those changes of it that are found.
            till = page.items[-1].made_at
            offset = sum(each.made_at == till for each in found.values())
    return list(found.values()), away


def _listing(found: Sequence[Change]) -> Table:
    listing = table("at", "who", "what", "of", "from → to", whole=["at"])
    for each in found:
        who = f"{each.actor.name or '-'} {each.actor.token_id}".strip()
        subject = f"{each.subject_type} {each.subject_id}"
        states = _states(each.before, each.after)
        listing.add_row(*cells(rfc3339(each.made_at), one_line(who, 60), each.action.value, subject, states))
    return listing


def _states(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = dict.fromkeys([*before, *after])
    return one_line("; ".join(f"{name}: {_value(before, name)} → {_value(after, name)}" for name in names), 400)


def _value(state: Mapping[str, Any], name: str) -> str:
    return msgspec.json.encode(state[name]).decode() if name in state else "-"
