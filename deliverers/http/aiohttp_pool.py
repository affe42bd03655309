"""Pools of aiohttp's connections, for the deliverers that still use them."""

from __future__ import annotations

from math import inf
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.payload import BytesPayload, Payload

from deliverers.answers import read_limited
from deliverers.contract import DelivererOptions
from deliverers.egress import NotAllowed, socket_factory
from deliverers.tls import client_context


def session_of(
    options: DelivererOptions, resolver: AbstractResolver, keep_alive: float, **session: Any
) -> aiohttp.ClientSession:
    """Open a pool of connections without a limit of its own: lanes limit what is in flight.

    Every request obeys the egress policy. It goes through the options' proxy if there is one; the proxy then judges
    which addresses are dialled (see `EgressPolicy.proxied_refusal`). A forbidden request raises an `OSError`, which
    `deliverers.reasons` words.

    `keep_alive` is in seconds. Raises `OSError` if the file with extra authorities cannot be used.
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
        # Checks that sockets cannot make; left out where there is nothing to check.
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
    """Return limits in seconds, exact to the millisecond; by default aiohttp rounds longer ones up to whole seconds."""
    return aiohttp.ClientTimeout(total=total, connect=connect, ceil_threshold=inf)


async def read_and_release(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, BaseException | None]:
    """Read like `read_limited`; the connection returns to the pool only if its answer was read to the end."""
    try:
        return await read_limited(response.content, limit)
    finally:
        # After its last byte the connection is back in the pool; in any other state it must not be reused.
        if not response.closed:
            response.close()


class BodyInMemory(BytesPayload):
    """A body of any size. aiohttp's own class warns about bodies over 1 MiB, which a large event may need."""

    def __init__(self, value: bytes, content_type: str | None = None) -> None:
        if content_type is None:
            Payload.__init__(self, value)
        else:
            Payload.__init__(self, value, content_type=content_type)
        self._size = len(value)
