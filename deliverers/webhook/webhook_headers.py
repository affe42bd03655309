"""Headers that an integration adds to its webhooks, and the header `Authorization`. No I/O."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from deliverers.field_error import FieldError

#: Headers of one integration, at most.
MOST_HEADERS = 20
#: Characters.
LONGEST_NAME = 100
#: Characters. Servers commonly take 8 KiB for all headers together.
LONGEST_VALUE = 4096
#: Characters of all names and values together.
LONGEST_HEADERS = 6 * 1024
#: A name as a regular expression (RFC 9110, section 5.1), for the API's description.
NAME_PATTERN = f"^[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{LONGEST_NAME}}}$"
#: A value as a regular expression.
VALUE_PATTERN = f"^[!-~]([ -~]{{0,{LONGEST_VALUE - 2}}}[!-~])?$"
#: Characters of a header's value that may be a secret; a shorter one may occur in a text by chance.
SHORTEST_SECRET = 6

AUTHORIZATION = "authorization"
#: RFC 9110, section 7.6.1, and what a proxy reads.
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
_OURS = frozenset(
    {
        *("accept", "accept-encoding", "content-encoding", "content-length", "content-type", "expect", "host"),
        *("traceparent", "tracestate", "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp"),
        "x-moltin-integration-trigger",
    }
)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def check_headers(given: object) -> None:
    """Check headers as an API client sends them, before any other code repeats a part of them.

    Raises `ValueError`; it is a `FieldError` where it is about one header.
    """
    if not isinstance(given, Mapping):
        raise ValueError('must be an object of names and values, such as {"X-Api-Key": "…"}')  # noqa: TRY004  (pydantic)
    if len(given) > MOST_HEADERS:
        raise ValueError(f"must be at most {MOST_HEADERS} headers, and are {len(given)}")
    seen: set[str] = set()
    size = 0
    for name, value in given.items():
        _check_name(name, seen)
        if not isinstance(value, str):
            raise FieldError("must be a string", name)
        if problem := value_problem(value):
            raise FieldError(problem, name)
        size += len(name) + len(value)
    if size > LONGEST_HEADERS:
        raise ValueError(f"must have at most {LONGEST_HEADERS} characters together, and have {size}")


def value_problem(value: str) -> str:
    """Return why a text cannot be the value of a header; empty if it can."""
    if not value:
        return "must not be empty"
    if len(value) > LONGEST_VALUE:
        return f"must be at most {LONGEST_VALUE} characters long, and has {len(value)}"
    if not _VISIBLE.fullmatch(value):
        return "must be visible ASCII characters, with spaces only between them: it is sent as a header"
    return ""


def _check_name(name: object, seen: set[str]) -> None:
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError(f"has a name that is not 1 to {LONGEST_NAME} letters, digits and hyphens, such as X-Api-Key")
    lower = name.lower()
    if lower in seen:
        raise FieldError("is given twice: the names of headers are the same in upper and lower case", name)
    seen.add(lower)
    if lower in _HOP_BY_HOP:
        raise FieldError("must not be given: it is about one connection, and not about the request", name)
    if lower in _OURS:
        raise FieldError("must not be given: the worker sets this header itself", name)
    if lower == "x-moltin-secret-key":
        raise FieldError("must not be given: use configuration.secret_key, which is sent as this header", name)


def basic_credentials(username: str, password: str) -> str:
    """Return the value of `Authorization` for a user name and a password (RFC 7617, in UTF-8)."""
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


def echoes(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Return secrets as an answer may repeat them, plain and in a JSON string; the longest first."""
    forms: set[bytes] = set()
    for secret in secrets:
        forms |= {secret.encode(), msgspec.json.encode(secret)[1:-1]}
    return tuple(sorted(forms, key=len, reverse=True))


def secrets_of_headers(headers: Mapping[str, str]) -> list[str]:
    """Return what an answer must not repeat of headers: each value, and what follows a scheme such as `Bearer`.

    A short value may occur in a text by chance, so it stays.
    """
    parts = (part for value in headers.values() for part in (value, value.partition(" ")[2]))
    return [part for part in parts if len(part) >= SHORTEST_SECRET]


def lower_names(headers: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of headers in lower case."""
    return frozenset(name.lower() for name in headers)
