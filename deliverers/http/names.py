"""The resolver of host names that deliverers share."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from deliverers.contract import DelivererOptions

if TYPE_CHECKING:
    from aiodns import DNSResolver
    from aiodns.error import DNSError
    from aiohttp.abc import AbstractResolver, ResolveResult

#: Share of an attempt's deadline that one DNS query may use before a second server, or the same again, is asked.
_DNS_SHARE = 0.2
_DNS_TRIES = 2
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


def resolver_of(options: DelivererOptions) -> AbstractResolver:
    """Make a resolver for the running loop. It uses c-ares, so that a name server that hangs blocks no thread."""
    return cast("AbstractResolver", LateResolver(options.timeout * _DNS_SHARE))


class LateResolver:
    """A resolver that is made at the first name: importing c-ares takes a twentieth of a second.

    Args:
        timeout: Seconds that a name server has for an answer.
        servers: The addresses of name servers; by default those of the system.
    """

    def __init__(self, timeout: float, servers: Sequence[str] | None = None) -> None:
        self._timeout = timeout
        self._servers = servers
        self._made: DNSResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return a name's addresses. Raises OSError, caused by aiodns's DNSError if name servers gave none."""
        new_resolver, dns_error = _aiodns()
        if self._made is None:
            self._made = new_resolver(self._servers, timeout=self._timeout, tries=_DNS_TRIES)
        try:
            found = await self._made.getaddrinfo(
                host, family, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except dns_error as error:
            raise OSError(None, str(error)) from error
        if not found.nodes:
            raise OSError(None, "the name has no address")
        return [
            {
                "hostname": host,
                "host": numeric_address(node.family, node.addr),
                "port": port,
                "family": node.family,
                "proto": 0,
                "flags": _NUMERIC,
            }
            for node in found.nodes
        ]

    async def close(self) -> None:
        """Give up what is under way."""
        made, self._made = self._made, None
        if made is not None:
            made.cancel()


def _aiodns() -> tuple[type[DNSResolver], type[DNSError]]:
    try:
        from aiodns import DNSResolver
        from aiodns.error import DNSError
    except ImportError as error:
        # It is installed, so its files cannot be opened now.
        raise OSError(errno.EMFILE, "the resolver cannot be loaded: too many open files") from error
    return DNSResolver, DNSError


def numeric_address(family: int, address: tuple[Any, ...]) -> str:
    """Return the text of a socket address of c-ares; that of a link-local address names its interface."""
    text = str(address[0], "ascii")
    return f"{text}%{address[3]}" if family == socket.AF_INET6 and address[3] else text
