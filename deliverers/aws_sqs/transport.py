"""The HTTP of all clients: one sender with an egress guard and a read limit.

aiobotocore uses it as its `http_session_cls`. botocore always gets an empty answer; `sqs_answers` reads the real one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from deliverers.contract import DelivererOptions, NotAttempted, Unreachable
from deliverers.http import HttpAnswer, HttpProgress, HttpSender, HttpTarget, RequestHead, resolver_of

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

#: Seconds for which an idle connection is kept: aiobotocore's default, which is known to suit AWS.
KEEP_ALIVE_SECONDS = 12.0
#: Bytes read of an answer at least: an answer to ten messages must be understood, however little logs keep.
LEAST_READ = 64 * 1024
#: The longest timeouts of a message after which its request is given up. Each message has a deadline of its own, which
#: is earlier.
_TIMEOUTS = 2
#: Headers that the sender sets itself.
_NOT_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "accept-encoding"})


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as they have come."""

    #: Whose connections it may use.
    tenant: Hashable = None
    #: The name that reasons show for the host.
    alias: str = ""
    progress: HttpProgress = field(default_factory=HttpProgress)
    answer: HttpAnswer | None = None


#: The exchange of the running task's request. botocore's calls have no argument for it.
current: ContextVar[Exchange] = ContextVar("edw_sqs_exchange")


class Unsent(Exception):
    """No answer began; the outcome says why."""

    def __init__(self, outcome: Unreachable | NotAttempted) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class AwsRequest(Protocol):
    """The part of botocore's prepared request that is used here."""

    method: str
    url: str
    headers: Mapping[str, Any]
    #: A text in STS's protocol.
    body: bytes | str | None


class Transport:
    """The shared sender. If there is a proxy, it decides about addresses: see `EgressPolicy.proxied_refusal`.

    It has hardly a deadline of its own: the caller that waits for an exchange cancels it.
    """

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._sender: HttpSender | None = None

    async def open(self) -> HttpSender:
        """Open the sender, and return it. Raises `OSError` if the file with extra authorities cannot be used."""
        self._sender = sender = HttpSender(self._options, KEEP_ALIVE_SECONDS, self._make_resolver())
        await sender.open()
        return sender

    async def close(self) -> None:
        """Close the sender."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()

    async def send(self, request: AwsRequest) -> Any:
        """Make a client's request for the `current` exchange. Raises `Unsent` if no answer began."""
        sender, exchange, options = self._sender, current.get(), self._options
        if sender is None:
            raise RuntimeError("send() needs open() first")
        limit = max(options.read_limit, LEAST_READ)
        answer = await sender.exchange(
            RequestHead(request.method, HttpTarget.of(request.url), headers_of(request)),
            {},
            body_of(request),
            tenant=exchange.tenant,
            limit=limit,
            timeout=max(options.timeout, options.longest_timeout) * _TIMEOUTS,
            alias=exchange.alias,
            progress=exchange.progress,
        )
        if not isinstance(answer, HttpAnswer):
            raise Unsent(answer)
        exchange.answer = answer
        return _EmptyAnswer()

    def session_class(self) -> type:
        """Return the class that aiobotocore opens for each client. Closing a client leaves the pool open."""
        return session_class(self.send)

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


def session_class(send: Callable[[AwsRequest], Awaitable[Any]]) -> type:
    """Return a class that aiobotocore opens for each client, and whose requests `send` makes."""

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
            return await send(request)

    return AwsHttpSession


def headers_of(request: AwsRequest) -> dict[str, str]:
    """Return the headers of a client's request that our sender does not set itself."""
    headers = {name: _text(value) for name, value in request.headers.items() if name.lower() not in _NOT_OURS}
    return headers | {"Accept-Encoding": "identity"}


def body_of(request: AwsRequest) -> bytes:
    """Return the body of a client's request."""
    body = request.body or b""
    return body.encode() if isinstance(body, str) else body


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
