"""The deployment's HTTP proxy (`EDW_EGRESS_PROXY`): where it is, and how we log in. No I/O."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field

from yarl import URL


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """A proxy. `lines` are the header lines that it gets and no receiver does."""

    host: str
    port: int
    lines: str = field(repr=False)

    @classmethod
    def of(cls, url: str) -> HttpProxy:
        """Parse the setting's URL, which may contain a user and a password. Raises `ValueError`."""
        parsed = URL(url)
        if parsed.scheme != "http" or not parsed.raw_host or not parsed.port:
            raise ValueError("the URL of the egress proxy must begin with http:// and name a host")
        lines = ""
        if parsed.user is not None or parsed.password is not None:
            login = f"{parsed.user or ''}:{parsed.password or ''}".encode()
            lines = f"Proxy-Authorization: Basic {b64encode(login).decode()}\r\n"
        return cls(parsed.raw_host, parsed.port, lines)
