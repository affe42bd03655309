"""Redaction of secrets in texts of foreign code, which might repeat them."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretStr

from deliverers.secret_fields import secret_fields, secret_texts

REDACTED = "********"
#: Replaces a whole text that repeats a short secret: stars in the secret's place would show where its letters are.
WITHHELD = "is not accepted (the reason repeats a secret, and is not shown)"
#: Characters; a shorter secret may occur in a text by chance.
SHORTEST_REPLACED = 12


def safe_traceback(error: BaseException, configuration: BaseModel) -> str:
    """Return the traceback of an error for our own log, without the secrets of its configuration.

    The errors of a plug-in, and of the libraries that it uses, may repeat a secret.
    """
    text = "".join(traceback.format_exception(error)).rstrip()
    for secret in sorted(_secrets_of(configuration), key=len, reverse=True):
        for form in _forms(secret):
            text = text.replace(form, REDACTED)
    return text


def without_secrets(secrets: Iterable[str], text: str) -> str:
    """Return the text without the secrets, in each form in which code commonly repeats a value."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in _forms(secret):
            if form in text:
                if len(secret) < SHORTEST_REPLACED:
                    return WITHHELD
                text = text.replace(form, REDACTED)
    return text


def _secrets_of(configuration: BaseModel) -> Iterator[str]:
    for name in secret_fields(type(configuration)):
        for each in secret_texts(getattr(configuration, name)):
            if isinstance(each, SecretStr) and each.get_secret_value():
                yield each.get_secret_value()


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, and as in a Python, JSON or URL text; the longest form first."""
    forms = {secret, repr(secret)[1:-1], *(json.dumps(secret, ensure_ascii=ascii_)[1:-1] for ascii_ in (True, False))}
    # Half a surrogate pair cannot be part of a URL.
    forms |= {quoted(secret, safe=safe, errors="replace") for quoted in (quote, quote_plus) for safe in ("", "/")}
    return iter(sorted(forms, key=len, reverse=True))
