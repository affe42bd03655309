"""`edw find`: says what became of a resource's events, for each integration."""

from collections.abc import Iterator, Mapping, Sequence
from time import time

import click
from rich.text import Text

from worker.api.event_documents import explained_event
from worker.cli.cli_session import EXIT_FAILED, run, scope_of, scope_options, scope_words, session
from worker.cli.console import console, json_option, print_json, warn_if_away
from worker.domain.affected_resource import AffectedResource
from worker.domain.event import rfc3339
from worker.domain.humanize import counted, due, one_line
from worker.domain.job import JobState
from worker.integrations.event_search import EventSearch, ExplainedEvent
from worker.ledger.inspection.event_history import EventSummary, JobHistory
from worker.ledger.pages import Page


@click.command(name="find")
@click.argument("type")
@click.argument("id")
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True, help="Events to show.")
@scope_options
@json_option
def command(type: str, id: str, limit: int, store: str | None, org: str | None, as_json: bool) -> None:
    """Say who got a resource's events, who did not, and why: `edw find order 123`.

    TYPE and ID are those of the resource in the events' data. The newest events come first. For each integration of the
    store it says when the event was delivered, why it fails and when it is tried next, or why it was not sent at all.
    """
    scope = scope_of(store, org)

    async def work() -> int:
        async with session() as at:
            page = await at.ledger.events.page(scope, 0, limit, AffectedResource(type, id))
            found, names = await EventSearch(at.ledger).explained(scope, page.items)
        warn_if_away(page)
        if as_json:
            print_json({"data": [explained_event(each, names) for each in found]})
        elif not found:
            click.echo(f"no event of {type} {id} is kept ({scope_words(scope)}; see --store and --org)")
        else:
            out = console()
            for line in _lines(found, names, page, time() * 1000):
                out.print(line, no_wrap=True, overflow="ellipsis")
        return 0 if found else EXIT_FAILED

    run(work())


def _lines(
    found: Sequence[ExplainedEvent], names: Mapping[str, str], page: Page[EventSummary], now: float
) -> Iterator[Text]:
    width = min(24, max((len(name) for name in names.values()), default=0))
    for number, event in enumerate(found):
        if number:
            yield Text("")
        summary = event.summary
        yield Text(f"{summary.type}  {rfc3339(summary.accepted_at)}  event {one_line(summary.id, 40)}", "bold")
        for job in event.history.jobs:
            name = names.get(job.job.integration_id, f"{job.job.integration_id[:8]} (deleted)")
            yield Text(f"  {one_line(name, width or 24):<{width}}  ").append_text(_outcome(job, now))
        for missing in event.missing:
            yield Text(f"  {one_line(missing.name, width or 24):<{width}}  ").append(
                f"not sent: {missing.words}", "dim"
            )
        if event.history.total > len(event.history.jobs):
            yield Text(f"  … and {event.history.total - len(event.history.jobs)} more integrations")
    if page.total > len(found):
        more = "more than " if page.at_least else ""
        yield Text(f"… and {more}{counted(page.total - len(found), 'older event')}; see --limit")


def _outcome(found: JobHistory, now: float) -> Text:
    job, log = found.job, found.last_log
    why = one_line(log.error_detail, 120) if log is not None and not log.succeeded else ""
    match job.state:
        case JobState.SUCCEEDED:
            return Text(f"delivered {rfc3339(job.ended_at or 0)}", "green")
        case JobState.PENDING:
            when = (
                "in flight" if job.due_at is None else f"attempt {job.attempts + 1} due {due(round(now - job.due_at))}"
            )
            return Text(f"failing: {why}; {when}" if why else f"waiting: {when}", "yellow")
    return Text(
        f"{job.state.value} ({job.reason}) {rfc3339(job.ended_at or 0)}" + (f": {why}" if why else ""), "bold red"
    )
