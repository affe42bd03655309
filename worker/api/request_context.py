"""The request that a handler receives, and the reply that it returns."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from aiohttp import hdrs, web
from yarl import URL

from deliverers.quick_values import quickly_made
from worker.api.api_errors import ApiError, api_error, invalid, not_found
from worker.api.inflating import ACCEPTED_CODINGS, BrokenCodingError, Inflater, UnknownCodingError, coding_of
from worker.api.json_numbers import LARGEST_NUMBER, pointer_of_number
from worker.api.paging import Paging
from worker.domain.api_token import Role, Token
from worker.domain.change import Actor
from worker.domain.event import Refusal, Scope
from worker.domain.integration import Integration
from worker.domain.trace_context import TraceContext
from worker.http_server.protocol import protocol_of

if TYPE_CHECKING:
    from worker.api.services.api_services import ApiServices

#: Seconds that a body may take to arrive, so that a stalled caller holds no resources for long.
BODY_SECONDS = 30.0

#: Bytes of a body that is decoded whole: twice those of an integration with every attribute at its limit. A body that
#: holds events may be larger, because it is only sliced.
DOCUMENT_BYTES = 256 * 1024

#: Characters of a Content-Type at most: enough for a media type and a character set.
CONTENT_TYPE_CHARS = 256

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
#: For callers who did not choose that type: curl -d sends it.
_FORM_HINT = '; curl -d sends this type unless it has -H "Content-Type: application/json"'
#: Content types of JSON; the platform's clients send the one of JSON:API.
JSON_TYPES = (JSON, "application/vnd.api+json")


@quickly_made
@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a document, which becomes JSON, or bytes, which are sent unchanged."""

    document: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


@quickly_made
@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request whose caller is authenticated and has a role that the operation accepts."""

    request: web.Request
    services: "ApiServices"
    #: None if the operation needs no token.
    caller: Token | None
    #: The request's trace; None where it has none.
    trace: TraceContext | None = None

    @property
    def token(self) -> Token:
        """The caller's token."""
        assert self.caller is not None  # noqa: S101  (an operation that names roles has one)
        return self.caller

    @property
    def scope(self) -> Scope:
        """The store or organisation that the caller acts for."""
        return self.token.scope

    @property
    def actor(self) -> Actor:
        """The caller as the audit names it. A bearer token counts as the client that it was issued to."""
        return Actor(self.token.parent or self.token.id, self.token.name)

    @property
    def is_admin(self) -> bool:
        """Whether the caller is an admin, who may see secrets."""
        return self.token.role is Role.ADMIN

    @property
    def paging(self) -> Paging:
        """The requested page. Raises ApiError (400)."""
        return Paging.of(self.request.query)

    @property
    def base(self) -> str:
        """The API's base URL as its clients see it."""
        request = self.request
        if url := self.services.settings.api_url:
            return url
        # Not from the target: if it is in absolute form, aiohttp drops its port. Host names the same authority.
        host = request.headers.get(hdrs.HOST)
        return _origin(request.scheme, host) if host else str(request.url.origin())

    def named(self, name: str, what: str) -> str:
        """Return a UUID of the path. Raises ApiError (404) for any other text, before the ledger is asked."""
        text = self.request.match_info[name]
        try:
            return str(UUID(text))
        except ValueError:
            raise not_found(f"{what} with this id") from None

    async def integration(self) -> Integration:
        """Return the integration that the path names. Raises ApiError (404) if the caller's scope has none."""
        found = await self.services.ledger.integrations.get([self.named("integration_id", "integration")])
        if not found or found[0].scope != self.scope:
            raise not_found("integration with this id")
        return found[0]

    def must_own(self, scope_key: str, what: str) -> None:
        """Check that a record belongs to the caller's scope. Raises ApiError (404)."""
        if scope_key != self.scope.key:
            raise not_found(f"{what} with this id")

    async def raw(
        self,
        types: tuple[str, ...] = JSON_TYPES,
        *,
        optional: bool = False,
        most: int | None = None,
        also: Callable[[str], bool] = lambda _: False,
    ) -> bytes:
        """Return the body; at most `most` bytes, and at most EDW_API_BODY_LIMIT.

        Its type must be one of `types`, or one for which `also` returns True. A missing type is the first of `types`. A
        charset is ignored: JSON has none (RFC 8259, section 11), and decoding checks that it is UTF-8. With `optional`,
        a request without a body may have any Content-Type.

        Raises ApiError (400, 408, 413, 415).
        """
        limit = min(self.services.settings.api_body_limit, most or self.services.settings.api_body_limit)
        request = self.request
        given = request.headers.get(hdrs.CONTENT_TYPE)
        if given and given.strip() and not _is_taken(types, given, request, also):
            if optional and not request.can_read_body:
                return b""
            expected = f"expected Content-Type: {' or '.join(types)} (in UTF-8), got {_quoted(given)}"
            raise api_error(415, expected + (_FORM_HINT if given[:CONTENT_TYPE_CHARS].lower().startswith(FORM) else ""))
        coding = self._coding()
        if (request.content_length or 0) > limit:
            raise too_large(limit)
        if (protocol := protocol_of(request)) is not None:
            protocol.ask_for_body()
        try:
            if not coding and request.content.is_eof():
                return _arrived(request, limit)
            async with asyncio.timeout(BODY_SECONDS):
                return await (_inflated(request, coding, limit) if coding else _read(request, limit))
        except TimeoutError:
            raise api_error(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
        except web.RequestPayloadError:
            raise api_error(400, "the body cannot be read: it does not follow its framing") from None
        except BrokenCodingError as error:
            detail = f"the body cannot be read: it does not follow Content-Encoding {_quoted(coding)}: {error}"
            raise api_error(400, detail) from None
        except ConnectionError:
            # The caller is gone; only the log shows this error.
            raise api_error(400, "the caller disconnected before the body had arrived") from None

    def _coding(self) -> str:
        """Return the coding of the body; empty for none. Raises ApiError (415)."""
        fields = self.request.headers.getall(hdrs.CONTENT_ENCODING, ())
        if not fields:
            return ""
        try:
            return coding_of(fields)
        except UnknownCodingError:
            detail = f"expected Content-Encoding: one of {ACCEPTED_CODINGS}, or none; got {_quoted(', '.join(fields))}"
            raise api_error(415, detail, {hdrs.ACCEPT_ENCODING: ACCEPTED_CODINGS}) from None

    async def document(self) -> Any:
        """Return the decoded body. Raises ApiError (400, 408, 413, 415)."""
        return decoded(await self.raw(most=DOCUMENT_BYTES))

    async def options(self, what: str, most: int = DOCUMENT_BYTES) -> Mapping[str, Any]:
        """Return the object at `data` of an optional body; empty without one.

        Names beside `data` are refused: if an unwrapped `dry_run` were ignored, the dry run would become a real one.

        Raises ApiError (400, 408, 413, 415, 422).
        """
        raw = await self.raw(optional=True, most=most)
        body = decoded(raw) if raw.strip() else {}
        inner = body.get("data", {}) if isinstance(body, Mapping) else None
        if not isinstance(inner, Mapping):
            raise invalid([Refusal("data", f"expected an object: {what}")], under="")
        if beside := [name for name in body if name != "data"]:
            hint = 'is unknown; wrap the attributes: {"data": {…}}'
            raise invalid([Refusal(name, hint, (name,)) for name in beside], under="")
        return inner


@lru_cache(256)  # nearly all requests name the same host, which the server has checked
def _origin(scheme: str, host: str) -> str:
    return str(URL.build(scheme=scheme, authority=host))


def _is_taken(types: tuple[str, ...], given: str, request: web.Request, also: Callable[[str], bool]) -> bool:
    # Parsing takes time quadratic in the number of parameters, so a long header is not parsed.
    if len(given) > CONTENT_TYPE_CHARS:
        return False
    return request.content_type in types or also(given)


def _arrived(request: web.Request, limit: int) -> bytes:
    """Return a body that is here as a whole. Raises ApiError (413)."""
    body = request.content.read_nowait()
    if len(body) > limit:
        raise too_large(limit)
    return body


async def _read(request: web.Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes. Raises ApiError (413)."""
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


async def _inflated(request: web.Request, coding: str, limit: int) -> bytes:
    """Read and inflate a body; both sizes are at most `limit` bytes. Raises ApiError (413), BrokenCodingError."""
    inflater, body, read = Inflater(coding), bytearray(), 0
    while chunk := await request.content.readany():
        read += len(chunk)
        for piece in inflater.pieces(chunk):
            body += piece
            if len(body) > limit or read > limit:
                raise too_large(limit)
            # Let other tasks run after each piece.
            await asyncio.sleep(0)
    inflater.finish()
    return bytes(body)


def too_large(limit: int) -> ApiError:
    """Return the answer to a body that is larger than `limit` bytes."""
    return api_error(413, f"the body is larger than {limit:,} bytes, the most that is accepted")


def decoded(raw: bytes, kind: Any = Any) -> Any:
    """Decode JSON. Raises ApiError (400), and with a `kind` also msgspec.ValidationError."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except UnicodeDecodeError as error:
        raise api_error(400, f"the body is not UTF-8 (byte {error.start})") from None
    except msgspec.ValidationError:
        if kind is not Any:
            raise
        # It is JSON, but has a number such as 1e999, which neither a double nor a 64-bit integer can hold.
        pointer = pointer_of_number(raw)
        what = f"expected a number from -{LARGEST_NUMBER} to {LARGEST_NUMBER}"
        raise api_error(400, f"{pointer}: {what}" if pointer else what, pointer=pointer) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise api_error(400, f"the body is not JSON: {error}") from None


def _quoted(text: str) -> str:
    return msgspec.json.encode(text[:100].encode(errors="replace").decode()).decode()


Handler = Callable[[RequestContext], Awaitable[Reply]]
