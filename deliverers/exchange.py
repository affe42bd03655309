"""What an attempt sent and what it got, for its log: the request, the answer, and the time of each phase. No I/O."""

from __future__ import annotations

from collections.abc import Container, Iterable
from enum import StrEnum
from ipaddress import ip_address

import msgspec
from msgspec import Struct

#: Bytes of a record as JSON, at most.
RECORD_BYTES = 4 * 1024
#: Characters of one header's value, at most.
VALUE_CHARS = 300
#: Characters of a URL, at most.
URL_CHARS = 1_000
#: Replaces a secret.
MASKED = "********"
#: Headers whose value is a secret, or proves who somebody is; in lower case.
SECRET_HEADERS = frozenset(
    {
        *("authorization", "cookie", "passcode", "proxy-authorization", "set-cookie", "x-amz-security-token"),
        "x-moltin-secret-key",
    }
)
_CUT = "…"

Headers = tuple[tuple[str, str], ...]


class ExchangePolicy(StrEnum):
    """Which attempts keep their request and answer; every attempt keeps its times."""

    FAILURES = "failures"
    ALL = "all"
    NONE = "none"


class PhaseTimes(Struct, frozen=True, omit_defaults=True):
    """Seconds that the phases of an attempt took; None for a phase that did not take place or did not end.

    Attributes:
        dns: The resolution of the name. A connection that was open already needs none of the first three.
        connect: The connection.
        tls: The TLS handshake.
        first_byte: The wait for the first byte of the answer, from the moment when the request was written.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


class SentRequest(Struct, frozen=True, omit_defaults=True):
    """A request as it was sent, with masked secrets.

    Attributes:
        method: The method; for a message queue its operation, such as `SEND`.
        url: Where it was sent; its query is masked.
        headers: Names and values, in the order in which they were sent.
        body_bytes: The size of the body.
        peer: The address of the receiver; empty if it is not public and the configuration does not name it.
    """

    method: str
    url: str
    headers: Headers
    body_bytes: int = 0
    peer: str = ""


class ReceivedAnswer(Struct, frozen=True, omit_defaults=True):
    """The head of an answer: its first line, and the names and values of its headers."""

    status_line: str
    headers: Headers = ()


class WireRecord(Struct, frozen=True, omit_defaults=True):
    """What an attempt sent and got."""

    times: PhaseTimes = PhaseTimes()
    request: SentRequest | None = None
    answer: ReceivedAnswer | None = None


# Every attempt asks for them, and a member of an enum is slow to look up.
_ALL, _FAILURES = ExchangePolicy.ALL, ExchangePolicy.FAILURES


def is_kept(policy: ExchangePolicy, *, succeeded: bool) -> bool:
    """Return whether an attempt keeps its request and answer."""
    return policy is _ALL or (policy is _FAILURES and not succeeded)


def shown_peer(peer: str, host: str) -> str:
    """Return the address of a receiver if its integration's owner may see it: a public one, or one that it named."""
    try:
        return peer if peer == host or ip_address(peer.partition("%")[0]).is_global else ""
    except ValueError:
        return ""


def safe_headers(
    lines: Iterable[tuple[str, str]], secrets: Iterable[bytes] = (), masked: Container[str] = ()
) -> Headers:
    """Return headers fit for a log: without secrets, readable, each value cut to VALUE_CHARS.

    Of the headers in `masked`, by their names in lower case, no value is shown.
    """
    found = tuple(secrets)
    return tuple(
        (_readable(name), MASKED if name.lower() in masked else _value(name, value, found)) for name, value in lines
    )


def head_lines(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Return the first line of a head of HTTP/1.1, and its headers in their order."""
    first, *rest = head.decode("utf-8", "replace").replace("\r\n", "\n").strip("\n").split("\n")
    lines: list[tuple[str, str]] = []
    for line in rest:
        name, colon, value = line.partition(":")
        if colon:
            lines.append((name.strip(), value.strip()))
    return first, lines


def sent_request(
    method: str,
    url: str,
    lines: Iterable[tuple[str, str]],
    body_bytes: int,
    peer: str,
    secrets: Iterable[bytes] = (),
    masked: Container[str] = (),
) -> SentRequest:
    """Return the record of a request, whose headers are cut to half of RECORD_BYTES."""
    # A query often holds a token.
    path, mark, _ = url.partition("?")
    shown = (_readable(_without(path, tuple(secrets))) + (mark and f"?{MASKED}"))[:URL_CHARS]
    return SentRequest(
        method, shown, _fitting(safe_headers(lines, secrets, masked), len(shown.encode())), body_bytes, peer
    )


def received_answer(
    status_line: str,
    lines: Iterable[tuple[str, str]],
    secrets: Iterable[bytes] = (),
    masked: Container[str] = (),
) -> ReceivedAnswer:
    """Return the record of an answer's head, whose headers are cut to half of RECORD_BYTES."""
    first = _value("", status_line, tuple(secrets))
    return ReceivedAnswer(first, _fitting(safe_headers(lines, secrets, masked), len(first.encode())))


def _fitting(headers: Headers, used: int) -> Headers:
    room, kept = RECORD_BYTES // 2 - 200 - used, list[tuple[str, str]]()
    for header in headers:
        room -= len(msgspec.json.encode(header)) + 1
        if room < 0:
            kept.append((_CUT, f"{len(headers) - len(kept)} more"))
            break
        kept.append(header)
    return tuple(kept)


def _value(name: str, value: str, secrets: tuple[bytes, ...]) -> str:
    if name.lower() in SECRET_HEADERS:
        return MASKED
    readable = _readable(_without(value, secrets))
    return readable if len(readable) <= VALUE_CHARS else readable[: VALUE_CHARS - 1] + _CUT


def _without(text: str, secrets: tuple[bytes, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret.decode("utf-8", "replace"), MASKED)
    return text


def _readable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
