"""What deliverers that speak HTTP share, and every one that looks names up: guarded connections, resolver, bodies."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.payload import BytesPayload, Payload
from aiohttp.resolver import AsyncResolver

from deliverers.answers import read_limited
from deliverers.contract import DelivererOptions
from deliverers.egress import NotAllowed, socket_factory
from deliverers.tls import client_context

#: Part of an attempt's deadline that one DNS query may use, before a second server (or the same again) is asked.
_DNS_SHARE = 0.2
_DNS_TRIES = 2


def _package_version() -> str:
    try:
        return version("event-delivery-worker")
    except PackageNotFoundError:
        return "0"


USER_AGENT = f"event-delivery-worker/{_package_version()}"


def resolver_of(options: DelivererOptions) -> AsyncResolver:
    """Make a resolver, on the running loop. It is c-ares: a name server that hangs holds no thread."""
    return AsyncResolver(timeout=options.timeout * _DNS_SHARE, tries=_DNS_TRIES)


def session_of(
    options: DelivererOptions, resolver: AbstractResolver, keep_alive: float, **session: Any
) -> aiohttp.ClientSession:
    """Open a pool of connections, without a limit of its own: lanes limit what is in flight.

    Every request of it keeps to the egress policy, and goes through the options' proxy where there is one: which
    addresses are dialled is then the proxy's to judge (see `EgressPolicy.proxied_refusal`). One that may not be made
    raises an `OSError`, for which `deliverers.reasons` has the words. `keep_alive` is in seconds.

    Raises `OSError` where the file with extra authorities cannot be used.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        limit_per_host=0,
        keepalive_timeout=keep_alive,
        socket_factory=socket_factory(None if options.proxy else options.egress, options.dialled),
        resolver=resolver,
        ssl=client_context(options.tls_ca_file),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        proxy=options.proxy,
        # What the sockets cannot see. Nothing is asked for each request where there is nothing to ask.
        middlewares=(_judging(options),) if options.proxy or options.egress.schemes else (),
        **session,
    )


def _judging(options: DelivererOptions) -> aiohttp.ClientMiddlewareType:
    async def judge(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        url = request.url
        refusal = options.egress.scheme_refusal(url.scheme)
        if refusal is None and options.proxy:
            refusal = options.egress.proxied_refusal(url.raw_host or "", url.port or 0)
        if refusal is not None:
            raise NotAllowed(refusal)
        return await send(request)

    return judge


def deadline(total: float | None = None, connect: float | None = None) -> aiohttp.ClientTimeout:
    """Limits in seconds, kept to the millisecond: aiohttp's own rounds up to whole seconds over a threshold."""
    return aiohttp.ClientTimeout(total=total, connect=connect, ceil_threshold=inf)


async def read_and_release(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, BaseException | None]:
    """As `read_limited`; the connection goes back to the pool where its answer was read to the end, and only then."""
    try:
        return await read_limited(response.content, limit)
    finally:
        # After its last byte the connection is back in the pool; anything else must not be reused.
        if not response.closed:
            response.close()


class BodyInMemory(BytesPayload):
    """A body of any size. aiohttp's own class warns of one over 1 MiB, which a large event may need."""

    def __init__(self, value: bytes, content_type: str | None = None) -> None:
        if content_type is None:
            Payload.__init__(self, value)
        else:
            Payload.__init__(self, value, content_type=content_type)
        self._size = len(value)
