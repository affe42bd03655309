"""The days of an integration: a chart of its attempts, as far back as the history reaches. No I/O."""

from datetime import date, timedelta
from typing import Any

from worker.console.sparkline import bars
from worker.ledger.inspection.lane_activity import LaneDays

_FIRST_DAY = date(1970, 1, 1)


def days_of(found: LaneDays) -> dict[str, Any]:
    """Return what the page shows: the chart, and a row for each day that has attempts, the newest first."""
    attempts, failed = [each.attempts for each in found.days], [each.failed for each in found.days]
    return {
        "bars": bars(attempts, failed),
        "rows": [
            (_FIRST_DAY + timedelta(days=each.day), each.attempts, each.failed, share(each.attempts, each.failed))
            for each in reversed(found.days)
            if each.attempts
        ],
        "attempts": sum(attempts),
        "share": share(sum(attempts), sum(failed)),
        "days": len(found.days),
        "away": found.history_away,
    }


def share(attempts: int, failed: int) -> str:
    """Return the share of attempts that succeeded, in words."""
    # 99.97 % must not look like 100 %.
    return f"{(attempts - failed) * 1000 // attempts / 10:g} %" if attempts else "–"
