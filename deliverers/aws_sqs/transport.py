"""The HTTP of all clients: one pool of connections with an egress guard and a read limit.

aiobotocore uses it as its `http_session_cls`. botocore always gets an empty answer; `sqs_answers` reads the real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol, Self

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from deliverers.answers import decompressed
from deliverers.contract import DelivererOptions
from deliverers.http import resolver_of
from deliverers.http.aiohttp_pool import BodyInMemory, deadline, read_and_release, session_of
from deliverers.reasons import Phase

#: Seconds for which an idle connection is kept: aiobotocore's default, which is known to suit AWS.
KEEP_ALIVE_SECONDS = 12.0
#: Bytes read of an answer at least: an answer to ten messages must be understood, however little logs keep.
LEAST_READ = 64 * 1024


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as they have come. `status` is set once the answer's first line is there."""

    phase: Phase = Phase.PREPARING
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: The error that broke the answer off.
    fault: BaseException | None = None


#: The exchange of the running task's request. botocore's calls have no argument for it.
current: ContextVar[Exchange] = ContextVar("edw_sqs_exchange")


class AwsRequest(Protocol):
    """The part of botocore's prepared request that is used here."""

    method: str
    url: str
    headers: Mapping[str, Any]
    body: bytes | None


class Transport:
    """The shared pool. If there is a proxy, it decides about addresses: see `EgressPolicy.proxied_refusal`.

    The pool has no deadline of its own: the caller that waits for an exchange cancels it.
    """

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._resolver: AbstractResolver | None = None

    async def open(self) -> None:
        """Open the pool. Raises `OSError` if the file with extra authorities cannot be used."""
        self._resolver = self._make_resolver()
        self._session = session_of(
            self._options, self._resolver, KEEP_ALIVE_SECONDS, timeout=deadline(), trace_configs=[_phases()]
        )

    async def close(self) -> None:
        """Close the pool and the resolver."""
        session, self._session = self._session, None
        resolver, self._resolver = self._resolver, None
        if session is not None:
            await session.close()
        if resolver is not None:
            await resolver.close()

    async def send(self, request: AwsRequest) -> Any:
        """Make a client's request for the `current` exchange. Raises `RECEIVER_FAULTS` if no answer began."""
        session, exchange = self._session, current.get()
        if session is None:
            raise RuntimeError("send() needs open() first")
        exchange.phase = Phase.CONNECTING
        headers = CIMultiDict({name: _text(value) for name, value in request.headers.items()})
        headers[hdrs.ACCEPT_ENCODING] = "identity"
        response = await session.request(
            request.method,
            URL(request.url, encoded=True),
            data=BodyInMemory(request.body or b""),
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=exchange,
        )
        exchange.phase, exchange.status, exchange.headers = Phase.READING, response.status, response.headers
        limit = max(self._options.read_limit, LEAST_READ)
        raw, exchange.fault = await read_and_release(response, limit)
        coding = response.headers.get(hdrs.CONTENT_ENCODING)
        exchange.body = decompressed(raw, coding, limit) if coding else raw
        return _EmptyAnswer()

    def session_class(self) -> type:
        """Return the class that aiobotocore opens for each client. Closing a client leaves the pool open."""
        transport = self

        class AwsHttpSession:
            def __init__(self, **_: Any) -> None:
                pass

            async def __aenter__(self) -> Self:
                return self

            async def __aexit__(self, *_: object) -> None:
                pass

            async def close(self) -> None:
                pass

            async def send(self, request: AwsRequest) -> Any:
                return await transport.send(request)

        return AwsHttpSession

    def _make_resolver(self) -> AbstractResolver:
        return resolver_of(self._options)


class _EmptyAnswer:
    """The answer that botocore reads: an empty success."""

    status_code = 200
    headers: Mapping[str, str] = {"content-type": "application/x-amz-json-1.0"}
    raw = None

    @property
    async def content(self) -> bytes:
        return b"{}"


def _phases() -> aiohttp.TraceConfig:
    """Return a trace configuration that notes in each exchange when it is connected."""

    async def connected(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.phase = Phase.WAITING

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(connected)
    config.on_connection_reuseconn.append(connected)
    return config


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
