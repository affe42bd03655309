"""Times of events in the one form that every consumer reads (RFC 3339, section 5.6)."""

from __future__ import annotations

import re

_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d++)?+(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_PARTS = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-]\d\d):?(\d\d)?)", re.ASCII)
_LEAP_SECOND = "60"


def canonical_time(time: str) -> str:
    """Return an accepted time as RFC 3339 has it, with its fraction and its offset.

    A leap second becomes the second before it, as `java.time.Instant` reads it: Go's and Java's SDKs refuse a whole
    event for a second 60. A text that is no time is returned as it is.
    """
    if _CANONICAL.fullmatch(time):  # nearly always
        return time
    parts = _PARTS.fullmatch(time)
    if parts is None:
        return time
    date, minute, second, fraction, utc, hours, minutes = parts.groups()
    second = "59" if second == _LEAP_SECOND else second
    offset = "Z" if utc else f"{hours}:{minutes or '00'}"
    return f"{date}T{minute}{second}{'.' + fraction if fraction else ''}{offset}"
