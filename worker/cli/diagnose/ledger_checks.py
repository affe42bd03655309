"""Checks of the ledger: whether it balances, whether workers are alive, and what the audit found."""

from collections.abc import Iterator

from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.humanize import counted, duration
from worker.ledger.inspection.audit import PROBLEMS, AuditReport
from worker.ledger.inspection.ledger_status import LedgerStatus

#: Milliseconds after which an overdue inbox counts as unserved.
INBOX_PATIENCE = 30_000


def judge(status: LedgerStatus, workers: int) -> Iterator[Finding]:
    """Check the ledger's status. `workers`: processes with a heartbeat within their lease."""
    if status.events_balance or status.jobs_balance:
        advice = "keys were lost, by a restore from an old copy or by hand; compare with Redis' backups"
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
        yield warning("inbox", seen, "check the workers' logs, and add workers (edw worker --processes)")
    else:
        yield ok("inbox", f"waiting: {counted(status.inbox, 'event')}")


def judge_audit(report: AuditReport, *, repaired: bool) -> Iterator[Finding]:
    """Return a finding for each kind of problem, or one that says that there is none."""
    looked = ", ".join((counted(report.jobs, "job"), counted(report.lanes, "lane"), counted(report.events, "event")))
    if report.is_clean:
        yield ok("audit", f"checked {looked}: all in their places")
        return
    for kind, count in report.counts.items():
        what, _, remedy = PROBLEMS[kind].partition(": ")
        seen = f"{what}: {count:,} (such as {', '.join(report.examples[kind])})"
        if repaired:
            yield warning("audit", seen, f"repaired: {remedy}; if it comes back, report it")
        else:
            yield failed("audit", seen, f"edw doctor --repair; then {remedy}")
