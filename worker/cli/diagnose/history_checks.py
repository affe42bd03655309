"""Checks of the history: its server, its schema, the days ahead, this user's rights, its clock, and the lag."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.humanize import counted, duration
from worker.history.inspection import OLDEST_SERVER, HistoryStatus
from worker.ledger.archive_outbox import LAG_PATIENCE, OutboxLag

#: Milliseconds that the clocks may differ.
CLOCK_PATIENCE = 60_000


def judge(status: HistoryStatus, address: str, outbox: OutboxLag, now: int) -> Iterator[Finding]:
    """Check the history at the ledger's time `now` (ms)."""
    if status.major < OLDEST_SERVER:
        yield failed("history", f"{address} is PostgreSQL {status.version}", f"update it to {OLDEST_SERVER} or later")
    else:
        yield ok("history", f"{address} answers, PostgreSQL {status.version}")
    if status.missing:
        yield failed("history schema", f"lacks {', '.join(status.missing)}", "edw history migrate")
        return
    yield ok("history schema", f"up to date (migration {status.applied[-1]:04})")
    tomorrow = datetime.fromtimestamp(now / 1000, UTC).date() + timedelta(days=1)
    if status.last_day is None or status.last_day < tomorrow:
        yield warning("history days", "no partition for tomorrow", "a worker makes them: see whether one archives")
    else:
        yield ok("history days", f"{status.first_day} to {status.last_day}")
    yield _rights(status)
    yield _compression(status)
    if abs(status.now - now) > CLOCK_PATIENCE:
        seen = f"PostgreSQL's is {duration(abs(status.now - now))} off the ledger's"
        yield warning("history clock", seen, "set it by NTP; records have the ledger's time")
    if outbox.waiting and not outbox.by:
        seen = f"{counted(outbox.waiting, 'record')} to archive, and no worker archives"
        yield warning("history lag", seen, "start a worker that has EDW_HISTORY_URL and reaches PostgreSQL")
    elif outbox.lag > LAG_PATIENCE:
        seen = f"{counted(outbox.waiting, 'record')} to archive, the oldest since {duration(outbox.lag)}"
        yield warning("history lag", seen, "deploy/RUNBOOK.md#historyfallingbehind")
    else:
        yield ok("history lag", f"{counted(outbox.waiting, 'record')} to archive")


def _rights(status: HistoryStatus) -> Finding:
    if not status.writable:
        return ok("history rights", "this user may only read")
    if not status.owns:
        advice = "the workers' user must own the tables: deploy/postgres-roles.sql"
        return warning("history rights", "this user may write, but not make or drop days", advice)
    return ok("history rights", "this user may write")


def _compression(status: HistoryStatus) -> Finding:
    if not status.has_lz4:
        advice = "harmless: PostgreSQL compresses by a slower method of its own"
        return warning("history lz4", "this server is built without it", advice)
    if not status.uses_lz4:
        return warning("history lz4", "the tables do not use it", "deploy/OPERATIONS.md#history has the statements")
    return ok("history lz4", "new days are compressed by it")
