"""A request as bytes (RFC 9112). No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from deliverers.http.target import HttpTarget
from deliverers.tls_identity import TlsIdentity

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: Added by the sender; another value of theirs would say where a request ends, or ask for another protocol.
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer", "keep-alive"}
)


class RequestHead:
    """A request's line and those headers that never change: checked and joined only once.

    Raises `ValueError` for a method or header that cannot be sent; the text never repeats a value.

    `checked` has further lines of `header_lines()`.
    """

    __slots__ = ("bodiless", "identity", "key", "origin", "target")

    def __init__(
        self,
        method: str,
        target: HttpTarget,
        headers: Mapping[str, str],
        identity: TlsIdentity | None = None,
        checked: str = "",
    ) -> None:
        if not _TOKEN.fullmatch(method) or method == "CONNECT":
            raise ValueError("the method cannot be sent")
        self.target = target
        self.identity = identity
        #: What connections are shared by, beside their tenant.
        self.key = (target.scheme, target.host, target.port, identity)
        #: Whether the answer never has a body.
        self.bodiless = method == "HEAD"
        self.origin = f"{method} {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n{checked}{header_lines(headers)}"

    @property
    def absolute(self) -> str:
        """Return the head with the target in absolute form, for a proxy."""
        method, _, rest = self.origin.partition(" ")
        return f"{method} {self.target.absolute}{rest.removeprefix(self.target.path)}"

    def encode(self, headers: Mapping[str, str], size: int, proxied: str | None = None) -> bytes:
        """Return the head with these further headers, for a body of so many bytes.

        `proxied` has the lines for the proxy, if the request goes to one in absolute form.
        """
        first = self.origin if proxied is None else self.absolute + proxied
        return f"{first}{header_lines(headers)}Content-Length: {size}\r\n\r\n".encode()


def header_lines(headers: Mapping[str, str]) -> str:
    """Return header lines. Raises `ValueError` for one that cannot be sent; the text never repeats a value."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    count = len(headers)
    if lines.count("\n") != count or lines.count("\r") != count or "\0" in lines:
        raise ValueError("a header must not contain line breaks or NUL")
    for name in headers:
        _check_name(name)
    return lines


def connect_request(target: HttpTarget, proxy_lines: str) -> bytes:
    """Return the request by which a proxy opens a tunnel (RFC 9110, section 9.3.6)."""
    return f"CONNECT {target.endpoint} HTTP/1.1\r\nHost: {target.endpoint}\r\n{proxy_lines}\r\n".encode()


@lru_cache(1_000)
def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"the header name {name!a} cannot be sent")
    if name.lower() in _OURS:
        raise ValueError(f"the header {name} is set by the sender")
