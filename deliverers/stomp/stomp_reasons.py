"""Reasons why a broker took no message, in words. Most of them come from `deliverers.reasons`."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from math import inf

from deliverers.answers import printable
from deliverers.certificates import certificate_reason
from deliverers.reasons import NOT_TLS, AttemptedConnection, Phase, reason
from deliverers.stomp.frames import Frame
from deliverers.stomp.stomp_configuration import Address

#: Ends a reason if the connection was lost after the message was sent.
UNKNOWN = "its outcome is unknown"
#: Characters of a broker's error that a reason shows; the outcome's body has the whole text.
_LONGEST_REASON = 200
_REDACTED = "********"


def attempted(address: Address, phase: Phase = Phase.CONNECTING) -> AttemptedConnection:
    """Return the input of `deliverers.reasons`; its timeout is infinite, because deadlines are worded here."""
    return AttemptedConnection(address.host, address.port, inf, phase)


def handshake_reason(error: Exception, address: Address) -> str:
    """Return why a connection could not be secured, or was lost as it began."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate_reason(error, address.host, datetime.now(UTC))
    if isinstance(error, ssl.SSLError) and error.reason in NOT_TLS:
        return f"{address.peer} does not speak TLS (is its address stomp:// rather than stomp+ssl://?)"
    if isinstance(error, ConnectionError) and error.errno is None:
        return f"connection closed by {address.peer} during the TLS handshake"
    return reason(error, attempted(address))


def lost_reason(error: Exception | None, address: Address) -> str:
    """Return how a working connection ended."""
    if error is None:
        return f"the broker closed the connection ({address.peer})"
    if isinstance(error, ssl.SSLError):
        return f"connection to {address.peer} failed (TLS: {printable((error.reason or 'broken').lower())})"
    return reason(error, attempted(address, Phase.WAITING))


def no_answer(seconds: float, doing: str, before: Iterable[str] = ()) -> str:
    """Return that a deadline passed, what was being done, and what had failed before."""
    return "; ".join((*before, f"no answer within {seconds:g} s ({doing})"))


def lost_reason_with_frame(words: str, last: Frame | None, secrets: tuple[str, ...]) -> str:
    """Return how a connection ended, with the broker's last words."""
    return words if last is None else f"{words}: {broker_error(last, secrets)}"


def broker_error(frame: Frame, secrets: tuple[str, ...]) -> str:
    """Return a broker's ERROR in one line without secrets: its `message`, and the body if that adds anything."""
    message = frame.headers.get("message", "").strip()
    lines = frame.body.decode("utf-8", "replace").strip().splitlines()
    first = lines[0].strip() if lines else ""
    if not message or message.endswith(":"):
        message = f"{message} {first}".strip() or "no reason given"
    elif first and first != message:
        message = f"{message} ({first})"
    for secret in secrets:
        message = message.replace(secret, _REDACTED)
    return printable(message, _LONGEST_REASON)
