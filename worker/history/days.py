"""Days of ledger time in UTC, by which the history's tables are partitioned. No I/O."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

DAY_MS = 86_400_000
#: Days that have a partition before they begin.
DAYS_AHEAD = 3
#: Tables whose partitions are kept for EDW_HISTORY_RETENTION, and those kept for EDW_HISTORY_PAYLOADS.
KEPT_LONG = ("events", "jobs", "logs", "activity", "changes")
KEPT_SHORT = ("payloads",)
TABLES = (*KEPT_LONG, *KEPT_SHORT)

_PARTITION = re.compile(rf"({'|'.join(TABLES)})_(\d{{8}})")


def day_of(milliseconds: float) -> date:
    """Return the day of a time (ms since 1970)."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date()


def number_of(day: date) -> int:
    """Return the number of a day since 1970."""
    return (day - date(1970, 1, 1)).days


def partition(table: str, day: date) -> str:
    """Return the name of a table's partition."""
    return f"{table}_{day:%Y%m%d}"


def parsed(name: str) -> tuple[str, date] | None:
    """Return the table and the day of a partition's name; None for any other name."""
    found = _PARTITION.fullmatch(name)
    if found is None:
        return None
    try:
        return found[1], datetime.strptime(found[2], "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def wanted(now: int) -> list[date]:
    """Return today and the days ahead, at the time `now` (ms)."""
    today = day_of(now)
    return [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]


def expired(names: Iterable[str], now: int, retention: int, payloads: int) -> list[str]:
    """Return the partitions that are older than their retention, the oldest first.

    Args:
        names: Names of tables; those that are no partitions are left out.
        now: The time (ms).
        retention: How long a day is kept after its end (ms).
        payloads: The same for payloads (ms).
    """
    found = []
    for name in names:
        if (known := parsed(name)) is None:
            continue
        table, day = known
        kept = min(payloads, retention) if table in KEPT_SHORT else retention
        if day < day_of(now - kept):
            found.append((day, name))
    return [name for _, name in sorted(found)]
