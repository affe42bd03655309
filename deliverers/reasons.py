"""Every way in which a receiver cannot be reached, in the words that an operator on call wants to read.

Exceptions of ssl, DNS and sockets end here. Nothing of their own text is shown, because it contains addresses and
`repr`s.

The owner of an integration reads these words. The addresses of a name, and of a proxy, are details of our network: an
address is shown only if the configuration has it as a literal. `detail` has the addresses, for the operator's log.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from ipaddress import ip_address
from typing import Any

from deliverers.answers import printable
from deliverers.certificates import certificate_reason
from deliverers.contract import NotAttempted, Unreachable
from deliverers.egress import NotAllowed
from deliverers.exhaustion import exhausted, loaded

#: The reason for attempts under way when the deliverer was closed; only this worker is to blame.
INTERRUPTED = "interrupted: this worker was closing, and the outcome is unknown"


class Phase(Enum):
    """How far an attempt had come; the value completes a sentence."""

    PREPARING = "preparing the request"
    CONNECTING = "connecting"
    WAITING = "waiting for the answer"
    READING = "reading the answer"


@dataclass(frozen=True, slots=True)
class AttemptedConnection:
    """The connection that was tried. `timeout` is in seconds."""

    host: str
    port: int
    timeout: float
    phase: Phase
    #: The name shown for a host of this deployment that no integration names; else empty.
    alias: str = ""

    @property
    def name(self) -> str:
        """Return the host as people may read it."""
        return self.alias or self.host

    @property
    def is_literal(self) -> bool:
        """Return whether the host is an address rather than a name."""
        try:
            ip_address(self.host.partition("%")[0])
        except ValueError:
            return False
        return not self.alias

    @property
    def peer(self) -> str:
        """Return host and port: `shop.example:443`, `[2001:db8::1]:443`."""
        if self.alias:
            return self.alias
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def reason(error: BaseException, attempted: AttemptedConnection) -> str:
    """Return what went wrong, in words. An exception outside the table gets the words of its nearest base class."""
    for kind in type(error).__mro__:
        if words := WORDS.get(kind):
            return words(error, attempted)
    return f"failed while {attempted.phase.value}"


def unreached(error: BaseException, attempted: AttemptedConnection) -> Unreachable | NotAttempted:
    """Return the outcome of an attempt without an answer: the receiver's failure, or a lack of ours."""
    return exhausted(error) or Unreachable(reason(error, attempted), detail(error))


def detail(error: BaseException) -> str:
    """Return the address that was refused, for the operator's log; empty if the error has none."""
    found = _NOT_ALLOWED.search(str(error)) if isinstance(error, NotAllowed) else None
    return found.group() if found else ""


def refused(text: str, attempted: AttemptedConnection) -> str:
    """Return the egress policy's refusal; for a name, with the kind of its address but not the address itself."""
    found = _NOT_ALLOWED.search(text)
    if found is None or attempted.is_literal:
        return found.group() if found else text
    # An embedded address precedes the reason.
    return f"address not allowed: {attempted.name} ({found[1].rpartition(', ')[2]})"


def _deadline(_error: BaseException, attempted: AttemptedConnection) -> str:
    within = f"within {attempted.timeout:g} s"
    if attempted.phase is Phase.PREPARING:
        return f"no answer {within} (this worker had not sent it yet)"
    if attempted.phase is Phase.CONNECTING:
        return f"no answer {within} (connecting to {attempted.peer})"
    if attempted.phase is Phase.READING:
        return f"no complete answer {within} (reading its body)"
    return f"no answer {within} (connected, waiting for it)"


#: By the names of aiodns.
_DNS_WORDS = {
    "ARES_ENOTFOUND": "does not resolve",
    "ARES_ENODATA": "does not resolve (it exists, and has no address)",
    "ARES_EBADNAME": "is not a valid name",
    "ARES_ETIMEOUT": "does not resolve (no name server answered in time)",
    "ARES_ESERVFAIL": "does not resolve (the name server failed)",
    "ARES_EREFUSED": "does not resolve (the name server refused to answer)",
    "ARES_ECONNREFUSED": "does not resolve (no name server can be reached)",
}


def unresolved(error: OSError, host: str) -> str:
    """Return why a host name has no address; the error is the resolver's, caused by one of aiodns."""
    cause = error.__cause__
    code = cause.args[0] if isinstance(cause, loaded("aiodns.error", "DNSError")) and cause.args else None
    names = vars(sys.modules["aiodns.error"]) if code is not None else {}
    words = (text for name, text in _DNS_WORDS.items() if names.get(name) == code)
    return f"host name {host} {next(words, 'does not resolve') if code is not None else 'does not resolve'}"


_NOT_ALLOWED = re.compile(r"address not allowed: \S+ \(([^)]*)\)")
_TEMPLATES = {
    errno.ECONNREFUSED: "connection refused by {peer}",
    errno.ECONNRESET: "connection reset by {peer} while {phase}",
    errno.EPIPE: "connection reset by {peer} while {phase}",
    errno.ECONNABORTED: "connection reset by {peer} while {phase}",
    errno.ESHUTDOWN: "connection reset by {peer} while {phase}",
    errno.ETIMEDOUT: "no sign of life from {peer} while {phase} (TCP timed out)",
    errno.EHOSTUNREACH: "no route to {peer}",
    errno.ENETUNREACH: "no route to the network of {peer}",
    errno.EADDRNOTAVAIL: "this worker has no free local port to reach {peer}",
    errno.EMFILE: "this worker may open no more files (raise its limit)",
    errno.ENFILE: "this machine may open no more files (raise its limit)",
}


def _template(number: int | None, attempted: AttemptedConnection) -> str:
    peer = attempted.peer
    if number is None:
        return f"connection to {peer} failed while {attempted.phase.value}"
    words = _TEMPLATES.get(number, f"connection to {{peer}} failed while {{phase}} ({os.strerror(number)})")
    return words.format(peer=peer, phase=attempted.phase.value)


def _socket(error: OSError, attempted: AttemptedConnection) -> str:
    if isinstance(error.__cause__, NotAllowed):
        return refused(str(error.__cause__), attempted)
    if isinstance(error, NotAllowed):
        return refused(str(error), attempted)
    if error.errno is None and isinstance(error, ConnectionError) and attempted.phase is Phase.CONNECTING:
        return f"connection closed by {attempted.peer} during the TLS handshake"
    return _template(error.errno, attempted)


def dial_reason(numbers: Iterable[int | None], attempted: AttemptedConnection) -> str:
    """Return why none of a host's addresses could be dialled, given the error number of each."""
    return "; ".join(_template(number, attempted) for number in dict.fromkeys(numbers))


def _refused_certificate(error: ssl.SSLCertVerificationError, attempted: AttemptedConnection) -> str:
    return certificate_reason(error, attempted.name, datetime.now(UTC))


#: OpenSSL's reasons for bytes that are not a TLS record.
NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})


#: What a receiver says about a client certificate (RFC 8446, section 6.2), by the end of OpenSSL's reason.
_CLIENT_CERTIFICATE = {
    "ALERT_CERTIFICATE_REQUIRED": "wants a client certificate, and got none (configuration.client_certificate)",
    "ALERT_UNKNOWN_CA": "does not know the authority that signed the client certificate",
    "ALERT_CERTIFICATE_EXPIRED": "refused the client certificate: it has expired",
    "ALERT_CERTIFICATE_REVOKED": "refused the client certificate: it was revoked",
    "ALERT_CERTIFICATE_UNKNOWN": "refused the client certificate",
    "ALERT_BAD_CERTIFICATE": "refused the client certificate",
    "ALERT_UNSUPPORTED_CERTIFICATE": "refused the client certificate: it does not take this kind",
    "ALERT_ACCESS_DENIED": "refused the client certificate: access denied",
}


def _handshake(error: ssl.SSLError, attempted: AttemptedConnection) -> str:
    said = getattr(error, "reason", None) or ""
    for ending, words in _CLIENT_CERTIFICATE.items():
        if said.endswith(ending):
            return f"{attempted.peer} {words}"
    if said in NOT_TLS:
        return f"{attempted.peer} does not speak TLS (is its URL http rather than https?)"
    if said == "UNEXPECTED_EOF_WHILE_READING":
        return f"connection closed by {attempted.peer} during the TLS handshake"
    if not said:
        return "TLS handshake failed"
    words = f"TLS handshake failed ({printable(said.replace('_', ' ').lower())})"
    # Before TLS 1.3, this alert is also that of a missing certificate.
    return f"{words}; it may want a client certificate" if said.endswith("ALERT_HANDSHAKE_FAILURE") else words


def _url(_error: BaseException, attempted: AttemptedConnection) -> str:
    return f"the URL cannot be called (its host is {printable(attempted.name)})"


WORDS: dict[type[BaseException], Callable[[Any, AttemptedConnection], str]] = {
    TimeoutError: _deadline,
    ssl.SSLCertVerificationError: _refused_certificate,
    ssl.SSLError: _handshake,
    OSError: _socket,
    ValueError: _url,
}
