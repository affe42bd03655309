"""How the ledger is: whether it balances, who works, and invariant 6."""

from collections.abc import Iterator

from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.format import counted, duration
from worker.ledger.inspection.audit import PROBLEMS, AuditReport
from worker.ledger.inspection.ledger_status import LedgerStatus

#: An inbox whose head is overdue for longer is not served (ms).
INBOX_PATIENCE = 30_000


def judge(status: LedgerStatus, workers: int) -> Iterator[Finding]:
    """From what `edw status` shows. `workers`: processes that have been heard of within their lease."""
    if status.events_balance or status.jobs_balance:
        advice = "keys were lost, by a restore from an old copy or by hand: compare with Redis' backups"
        seen = f"events off by {status.events_balance}, jobs by {status.jobs_balance}"
        yield failed("balance", seen, advice)
    else:
        accepted, opened = counted(status.counter("accepted"), "event"), counted(status.counter("opened"), "job")
        yield ok("balance", f"accounted for: {accepted}, {opened}")
    if workers:
        yield ok("workers", f"{workers} alive")
    else:
        yield failed("workers", "none is alive", "start one: edw worker")
    if status.inbox_overdue > INBOX_PATIENCE:
        seen = f"{counted(status.inbox, 'event')}, the oldest overdue for {duration(status.inbox_overdue)}"
        yield warning("inbox", seen, "add workers (edw worker --processes), and look at their logs")
    else:
        yield ok("inbox", f"waiting: {counted(status.inbox, 'event')}")


def judge_audit(report: AuditReport, *, repaired: bool) -> Iterator[Finding]:
    """A line for each kind of problem, or one that says that there is none."""
    looked = ", ".join((counted(report.jobs, "job"), counted(report.lanes, "lane"), counted(report.events, "event")))
    if report.is_clean:
        yield ok("audit", f"{looked} looked at: all in their places")
        return
    for kind, count in report.counts.items():
        what, _, remedy = PROBLEMS[kind].partition(": ")
        seen = f"{what}: {count:,} (such as {', '.join(report.examples[kind])})"
        if repaired:
            yield warning("audit", seen, f"mended: {remedy}; if it comes back, report it")
        else:
            yield failed("audit", seen, f"edw doctor --repair; then {remedy}")
