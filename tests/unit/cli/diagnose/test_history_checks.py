"""What `edw doctor` says of the history."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from worker.cli.diagnose import Grade
from worker.cli.diagnose.history_checks import judge
from worker.history.inspection import HistoryStatus
from worker.ledger.archive_outbox import NOTHING_WAITS, OutboxLag

#: 2026-11-29, at noon.
NOW = 1_795_953_600_000
GOOD = HistoryStatus("15.18", True, True, [1], [], date(2026, 11, 1), date(2026, 12, 2), {}, NOW)


def grades(status: HistoryStatus, outbox: OutboxLag = NOTHING_WAITS) -> dict[str, Grade]:
    return {each.subject: each.grade for each in judge(status, "db:5432/edw", outbox, NOW)}


def test_a_history_in_order_is_said_so() -> None:
    assert set(grades(GOOD).values()) == {Grade.OK}
    assert set(grades(replace(GOOD, writable=False, owns=False)).values()) == {Grade.OK}


@pytest.mark.parametrize(
    ("changes", "subject", "grade"),
    [
        ({"version": "13.4"}, "history", Grade.FAILED),
        ({"missing": ["0002 (more)"]}, "history schema", Grade.FAILED),
        ({"last_day": date(2026, 11, 29)}, "history days", Grade.WARNING),
        ({"last_day": None}, "history days", Grade.WARNING),
        ({"has_lz4": False, "uses_lz4": False}, "history lz4", Grade.WARNING),
        ({"uses_lz4": False}, "history lz4", Grade.WARNING),
        ({"owns": False}, "history rights", Grade.WARNING),
        ({"now": NOW - 61_000}, "history clock", Grade.WARNING),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, Any], subject: str, grade: Grade) -> None:
    assert grades(replace(GOOD, **changes))[subject] is grade


def test_a_lag_is_warned_of() -> None:
    assert grades(GOOD, OutboxLag(5, 121_000, 0, "a worker"))["history lag"] is Grade.WARNING
    assert grades(GOOD, OutboxLag(5, 1_000, 0))["history lag"] is Grade.WARNING, "nobody archives"
    assert grades(GOOD, OutboxLag(5, 1_000, 0, "a worker"))["history lag"] is Grade.OK
