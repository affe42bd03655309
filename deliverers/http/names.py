"""The resolver of host names that deliverers share."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, cast

from deliverers.contract import DelivererOptions

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver, ResolveResult

#: Share of an attempt's deadline that one DNS query may use before a second server, or the same again, is asked.
_DNS_SHARE = 0.2
_DNS_TRIES = 2


def resolver_of(options: DelivererOptions) -> AbstractResolver:
    """Make a resolver for the running loop. It uses c-ares, so that a name server that hangs blocks no thread."""
    return cast("AbstractResolver", _LateResolver(options.timeout * _DNS_SHARE))


class _LateResolver:
    """A resolver that is made at the first name: importing aiohttp's takes a tenth of a second of a process's start."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._made: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return a name's addresses. Raises OSError."""
        if self._made is None:
            self._made = self._make()
        return await self._made.resolve(host, port, family)

    def _make(self) -> AbstractResolver:
        try:
            from aiohttp.resolver import AsyncResolver
        except ImportError as error:
            # It is installed, so its files cannot be opened now.
            raise OSError(errno.EMFILE, "the resolver cannot be loaded: too many open files") from error
        return AsyncResolver(timeout=self._timeout, tries=_DNS_TRIES)

    async def close(self) -> None:
        """Give up what is under way."""
        made, self._made = self._made, None
        if made is not None:
            await made.close()
