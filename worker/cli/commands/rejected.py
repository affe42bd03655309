"""`edw rejected`: lists refused events whose producer got no answer."""

import click

from worker.cli.cli_session import run, session
from worker.cli.console import cells, console, json_option, print_json, table
from worker.cli.json_documents import rejected_document
from worker.domain.event import rfc3339
from worker.domain.humanize import one_line


@click.group(name="rejected")
def command() -> None:
    """List refused events whose producer got no answer, such as events of raw Celery messages."""


@command.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=25, show_default=True, help="Messages to list at most."
)
@json_option
def list_(limit: int, as_json: bool) -> None:
    """List the rejected messages, newest first."""

    async def work() -> None:
        async with session() as at:
            found = await at.ledger.inbox.rejected(limit)
        if as_json:
            print_json({"data": [rejected_document(each) for each in found]})
            return
        if not found:
            click.echo("nothing was rejected")
            return
        listing = table("at", "source", "field", "reason", "what came", whole=["at"])
        for each in found:
            listing.add_row(*cells(rfc3339(each.at), each.source, each.field, each.reason, one_line(each.given, 80)))
        console().print(listing)

    run(work())
