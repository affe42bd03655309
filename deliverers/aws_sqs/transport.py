"""The HTTP of all clients: one pool of connections, guarded by the egress policy, with a limit to what is read.

aiobotocore is given it as its `http_session_cls`. Whatever the answer, botocore gets an empty one: `answers` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from types import SimpleNamespace
from typing import Any, Protocol, Self

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from aiohttp.payload import BytesPayload, Payload
from aiohttp.resolver import AsyncResolver
from multidict import CIMultiDict
from yarl import URL

from deliverers.answers import decompressed, read_limited
from deliverers.contract import DelivererOptions
from deliverers.egress import socket_factory
from deliverers.reasons import Phase
from deliverers.tls import client_context

#: Seconds that an idle connection is kept: aiobotocore's own default, which is known to go well with AWS.
KEEP_ALIVE_SECONDS = 12.0
#: Part of the deadline that one DNS query may use, before a second server (or the same again) is asked.
_DNS_SHARE = 0.2
_DNS_TRIES = 2


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as they came. `status` is there from the answer's first line on."""

    phase: Phase = Phase.CONNECTING
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: What broke the answer off.
    fault: BaseException | None = None


#: The exchange of the request that the running task makes: botocore has no place for it in its calls.
current: ContextVar[Exchange] = ContextVar("edw_sqs_exchange")


class Request(Protocol):
    """What is used of botocore's prepared request."""

    method: str
    url: str
    headers: Mapping[str, Any]
    body: bytes | None


class Transport:
    """The shared pool. A proxy, where there is one, decides about addresses: see `EgressPolicy.proxied_refusal`.

    It has no deadline of its own: whoever waits for an exchange cancels it.
    """

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._resolver: AbstractResolver | None = None

    async def open(self) -> None:
        """Open the pool. Raises `OSError` where the file with extra authorities cannot be used."""
        options = self._options
        tls = client_context(options.tls_ca_file)
        self._resolver = self._make_resolver()
        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            socket_factory=None if options.proxy else socket_factory(options.egress),
            resolver=self._resolver,
            ssl=tls,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, ceil_threshold=inf),
            trace_configs=[_phases()],
        )

    async def close(self) -> None:
        """Close the pool and the resolver."""
        session, self._session = self._session, None
        resolver, self._resolver = self._resolver, None
        if session is not None:
            await session.close()
        if resolver is not None:
            await resolver.close()

    async def send(self, request: Request) -> Any:
        """Make a client's request, for the `current` exchange. Raises `RECEIVER_FAULTS`, as long as nothing came."""
        session, exchange = self._session, current.get()
        if session is None:
            raise RuntimeError("send() needs open() first")
        headers = CIMultiDict({name: _text(value) for name, value in request.headers.items()})
        headers[hdrs.ACCEPT_ENCODING] = "identity"
        response = await session.request(
            request.method,
            URL(request.url, encoded=True),
            data=_Body(request.body or b""),
            headers=headers,
            allow_redirects=False,
            proxy=self._options.proxy,
            trace_request_ctx=exchange,
        )
        exchange.phase, exchange.status, exchange.headers = Phase.READING, response.status, response.headers
        try:
            raw, exchange.fault = await read_limited(response.content, self._options.read_limit)
        finally:
            # After its last byte the connection is back in the pool; anything else must not be reused.
            if not response.closed:
                response.close()
        coding = response.headers.get(hdrs.CONTENT_ENCODING)
        exchange.body = decompressed(raw, coding, self._options.read_limit) if coding else raw
        return _EmptyAnswer()

    def session_class(self) -> type:
        """Make the class that aiobotocore opens for each client. A client that closes leaves the pool open."""
        transport = self

        class Session:
            def __init__(self, **_: Any) -> None:
                pass

            async def __aenter__(self) -> Self:
                return self

            async def __aexit__(self, *_: object) -> None:
                pass

            async def close(self) -> None:
                pass

            async def send(self, request: Request) -> Any:
                return await transport.send(request)

        return Session

    def _make_resolver(self) -> AbstractResolver:
        # c-ares: a name server that hangs holds no thread. It reads /etc/hosts too.
        return AsyncResolver(timeout=self._options.timeout * _DNS_SHARE, tries=_DNS_TRIES)


class _EmptyAnswer:
    """What botocore reads: a success that says nothing."""

    status_code = 200
    headers: Mapping[str, str] = {"content-type": "application/x-amz-json-1.0"}
    raw = None

    @property
    async def content(self) -> bytes:
        return b"{}"


class _Body(BytesPayload):
    """A body that is in memory already. aiohttp's own class warns of one over 1 MiB, which a large event may need."""

    def __init__(self, value: bytes) -> None:
        Payload.__init__(self, value)
        self._size = len(value)


def _phases() -> aiohttp.TraceConfig:
    """Have every exchange know when it is connected."""

    async def connected(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.phase = Phase.WAITING

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(connected)
    config.on_connection_reuseconn.append(connected)
    return config


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
