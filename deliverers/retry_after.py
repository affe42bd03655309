"""The `Retry-After` header, RFC 9110 section 10.2.3."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

#: Seconds that a longer pause is shortened to; the retry policy has a lower limit of its own.
LONGEST_SECONDS = timedelta(days=366).total_seconds()

_SECONDS = re.compile(r"[0-9]+", re.ASCII)
#: More digits than any sensible pause has, and fewer than `int` refuses.
_MOST_DIGITS = 12
#: The longest of the three date forms of section 5.6.7, `Wednesday, 09-Sep-99 23:59:59 GMT`, and some spaces.
_MOST_DATE_CHARACTERS = 48


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, from a number of seconds or an HTTP date (`now` is aware).

    A date in the past gives 0; a header that is absent or unusable gives None.
    """
    if value is None:
        return None
    text = value.strip(" \t")
    if _SECONDS.fullmatch(text):
        return LONGEST_SECONDS if len(text) > _MOST_DIGITS else min(float(text), LONGEST_SECONDS)
    when = _http_date(text)
    if when is None:
        return None
    return min(max((when - now).total_seconds(), 0.0), LONGEST_SECONDS)


def _http_date(text: str) -> datetime | None:
    # The e-mail date parser accepts far more than dates, so the text must begin with the name of a day.
    if len(text) > _MOST_DATE_CHARACTERS or not text[:3].isalpha():
        return None
    try:
        when = parsedate_to_datetime(text)
        # An asctime date has no zone and means GMT, like every HTTP date.
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
