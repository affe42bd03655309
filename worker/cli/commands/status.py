"""`edw status`: shows whether the ledger balances, what waits, and how many workers are alive."""

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.cli_session import EXIT_FAILED, run, session
from worker.cli.console import cells, console, json_option, print_json, table, verdict
from worker.cli.json_documents import status_document
from worker.cli.log_lines import NAME_CHARS
from worker.domain.humanize import counted, due, duration, one_line, size
from worker.ledger.archive_outbox import OutboxLag
from worker.ledger.inspection.ledger_status import LaneStatus, LedgerStatus


@click.command(name="status")
@click.option("--lanes", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Lanes to show at most.")
@json_option
def command(lanes: int, as_json: bool) -> None:
    """Show whether the ledger balances, and what waits.

    At any moment, every accepted event is in the inbox, matched, unmatched, filtered or set aside, and every opened
    job has ended or is pending. An event is filtered if the filters of all that observe it left it out. If a balance is
    broken, something was lost, and the exit code is 1.
    """

    async def work() -> int:
        async with session() as at:
            status = await at.ledger.status.read(lanes)
            address = at.ledger.address
        if as_json:
            print_json(status_document(status))
        else:
            _print_status(console(), status, address)
        return EXIT_FAILED if status.events_balance or status.jobs_balance else 0

    run(work())


def _print_status(out: Console, status: LedgerStatus, address: str) -> None:
    out.print(Text(f"ledger   {address}, memory {_memory(status)}"))
    workers = f"{status.processes} alive" if status.processes else 'none: start one with "edw worker"'
    in_flight = f", attempts in flight: {status.leased}" if status.leased else ""
    out.print(Text(f"workers  {workers}{in_flight}"))
    if status.outbox is not None:
        out.print(Text(f"history  {_lag(status.outbox)}"))
    out.print()
    out.print(balances_table(status))
    out.print()
    _print_waiting(out, status)


def balances_table(status: LedgerStatus) -> Table:
    """Return a table of the two sums of the ledger's invariant 1."""
    count = status.counter
    balances = table("", "", "", "")
    balances.show_header = False
    inbox = f"inbox {status.inbox} + unmatched {count('unmatched')} + filtered {count('filtered')}"
    inbox += f" + matched {count('matched')}"
    ended = f"succeeded {count('succeeded')} + failed {count('failed')} + cancelled {count('cancelled')}"
    balances.add_row(
        *cells("events", f"accepted {count('accepted')}", f"= {inbox} + set aside {count('set_aside')}"),
        verdict(status.events_balance == 0, "ok", f"BROKEN by {status.events_balance}"),
    )
    balances.add_row(
        *cells(
            "jobs", f"opened {count('opened')} + reopened {count('reopened')}", f"= {ended} + pending {status.pending}"
        ),
        verdict(status.jobs_balance == 0, "ok", f"BROKEN by {status.jobs_balance}"),
    )
    return balances


def _print_waiting(out: Console, status: LedgerStatus) -> None:
    if status.inbox and status.inbox_overdue > 0:
        out.print(Text(f"The oldest event of the inbox is overdue by {duration(status.inbox_overdue)}."))
    if status.rejected:
        out.print(Text(f'Rejected: {status.rejected}; see "edw rejected list".'))
    if left_out := status.counter("left_out"):
        out.print(Text(f"Filters left out {left_out} deliveries of events."))
    if not status.lanes:
        out.print(Text("No lane has work."))
        return
    lanes = table(
        "lane (integration)",
        "name",
        "waiting",
        "size",
        "in flight",
        "next due",
        "",
        right=["waiting", "size", "in flight"],
        whole=["lane (integration)"],
    )
    for lane in status.lanes:
        lanes.add_row(
            *cells(
                lane.integration_id,
                one_line(lane.name, NAME_CHARS),
                lane.due,
                size(lane.size),
                lane.leased,
                _oldest(lane),
                _policy(lane),
            )
        )
    out.print(lanes)
    if status.lanes_total > len(status.lanes):
        out.print(Text(f"… and {status.lanes_total - len(status.lanes)} more lanes"))


def _policy(lane: LaneStatus) -> str:
    words = []
    if lane.held:
        words.append(lane.hold or "held")
    elif lane.circuit == "open":
        words.append(f"circuit open, tried in {duration(lane.circuit_wait)}")
    elif lane.circuit:
        words.append("circuit half-open")
    if lane.failing_for:
        words.append(f"failing for {duration(lane.failing_for)}")
    return ", ".join(words) or " "


def _oldest(lane: LaneStatus) -> str | None:
    return due(lane.oldest_due_age) if lane.due else None


def _lag(outbox: OutboxLag) -> str:
    """Return what waits to be archived, in words."""
    lost = f"; {counted(outbox.lost, 'record')} of the audit lost" if outbox.lost else ""
    if not outbox.waiting:
        return f"everything is archived{lost}"
    return f"{counted(outbox.waiting, 'record')} to archive, the oldest since {duration(outbox.lag)}{lost}"


def _memory(status: LedgerStatus) -> str:
    used = size(status.memory_used)
    if not status.memory_limit:
        return f"{used}, no limit set"
    return f"{used} of {size(status.memory_limit)} ({status.memory_used / status.memory_limit:.0%})"
