from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deliverers.retry_after import LONGEST_SECONDS, parse_retry_after

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120\t", 120.0),
        ("9" * 5000, LONGEST_SECONDS),
        ("Mon, 23 Nov 2026 12:02:00 GMT", 120.0),
        ("Monday, 23-Nov-26 12:02:00 GMT", 120.0),
        ("Mon Nov 23 12:02:00 2026", 120.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_SECONDS),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("120 seconds", None),
        ("Mon, 99 Nov 2026 12:02:00 GMT", None),
        ("Mon, 23 Nov 2026 99:99:99 GMT", None),
        ("2026-11-23T12:02:00Z", None),
        ("Mon, " + "2" * 1000, None),
    ],
)
def test_seconds_and_dates_are_read_and_nonsense_is_not(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
