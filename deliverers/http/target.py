"""Where a request goes: a URL, split so that the receiver gets its target byte for byte. No I/O."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from deliverers.urls import parsed_authority

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# RFC 3986, appendix A: what a path and a query may hold, and brackets, which many receivers take unencoded.
_UNSENDABLE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]")
_AUTHORITY = re.compile(r"[^/?#]*")


class HttpTarget(Struct, frozen=True):
    """A parsed URL.

    Attributes:
        scheme: `http` or `https`.
        host: The name or address that is dialled, in ASCII and without brackets.
        port: The port, the scheme's default if the URL has none.
        authority: The value of the `Host` header.
        path: The request target: path and query as they were written.
    """

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def of(cls, url: str) -> HttpTarget:
        """Parse an absolute URL. Raises `ValueError`, whose text does not repeat the URL."""
        scheme, found, rest = url.partition("://")
        scheme = scheme.lower()
        if not found or scheme not in DEFAULT_PORTS:
            raise ValueError("the URL must begin with http:// or https://")
        authority = _AUTHORITY.match(rest)
        end = authority.end() if authority else 0
        # The host is parsed like every other of ours; the rest stays as it is.
        host, port = parsed_authority(scheme, rest[:end])
        if not host or not port or "@" in rest[:end]:
            raise ValueError("the URL must name a host, and no user")
        return cls(scheme, host, port, _authority(host, port, scheme), request_target(rest[end:]))

    @property
    def server_name(self) -> str:
        """Return the host as certificates name it: without the trailing dot of the DNS."""
        return self.host.removesuffix(".")

    @property
    def absolute(self) -> str:
        """Return the target in absolute form, for a proxy (RFC 9112, section 3.2.2)."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def endpoint(self) -> str:
        """Return host and port, as CONNECT names them."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{name}:{self.port}"


def request_target(text: str) -> str:
    """Return the request target for what follows the host in a URL.

    What is valid stays byte for byte: `%2F` is not `/` (RFC 3986, section 2.2). Only what cannot be sent is encoded.
    """
    target = text.partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    return _UNSENDABLE.sub(lambda match: _encoded(match.group()), target)


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _authority(host: str, port: int, scheme: str) -> str:
    name = f"[{host.partition('%')[0]}]" if ":" in host else host.removesuffix(".")
    return name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"
