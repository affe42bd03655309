"""The resolver of host names that deliverers share."""

from __future__ import annotations

from aiohttp.resolver import AsyncResolver

from deliverers.contract import DelivererOptions

#: Share of an attempt's deadline that one DNS query may use before a second server, or the same again, is asked.
_DNS_SHARE = 0.2
_DNS_TRIES = 2


def resolver_of(options: DelivererOptions) -> AsyncResolver:
    """Make a resolver on the running loop. It uses c-ares, so that a name server that hangs blocks no thread."""
    return AsyncResolver(timeout=options.timeout * _DNS_SHARE, tries=_DNS_TRIES)
