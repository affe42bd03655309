"""Texts of other people's code that might repeat a secret."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

REDACTED = "********"
#: Stands for the whole of a text that repeats a short secret: stars in its place would show where its letters stand.
WITHHELD = "is not accepted (the reason repeats a secret, and is not shown)"
#: Characters; a shorter secret may occur in a text by chance.
SHORTEST_REPLACED = 12


def without_secrets(secrets: Iterable[str], text: str) -> str:
    """Return the text without the secrets, in each form in which code commonly repeats a value."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in _forms(secret):
            if form in text:
                if len(secret) < SHORTEST_REPLACED:
                    return WITHHELD
                text = text.replace(form, REDACTED)
    return text


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, and inside a Python, JSON or URL text; the longest first."""
    forms = {secret, repr(secret)[1:-1], *(json.dumps(secret, ensure_ascii=ascii_)[1:-1] for ascii_ in (True, False))}
    # Half a surrogate pair cannot stand in a URL.
    forms |= {quoted(secret, safe=safe, errors="replace") for quoted in (quote, quote_plus) for safe in ("", "/")}
    return iter(sorted(forms, key=len, reverse=True))
