"""One request on its way to a handler, and the answer on its way back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from aiohttp import hdrs, web
from yarl import URL

from worker.api.api_errors import ApiError, api_error, invalid, not_found
from worker.api.inflating import ACCEPTED_CODINGS, BrokenCodingError, Inflater, UnknownCodingError, coding_of
from worker.api.json_numbers import LARGEST_NUMBER, pointer_of_number
from worker.api.paging import Paging
from worker.domain.api_token import Role, Token
from worker.domain.event import Refusal, Scope
from worker.domain.integration import Integration
from worker.domain.trace_context import TraceContext
from worker.http_server.protocol import protocol_of

if TYPE_CHECKING:
    from worker.api.services.api_services import ApiServices

#: A body that has not come by then is not waited for (seconds): a caller that stalls holds nothing for long.
BODY_SECONDS = 30.0

#: Bytes of a body that is decoded whole: an integration with everything at its limit has half as many. What holds an
#: event may have more, of which only slices are made.
DOCUMENT_BYTES = 256 * 1024

#: Characters of a Content-Type: a media type and a character set.
CONTENT_TYPE_CHARS = 256

JSON = "application/json"
#: JSON:API's own type is taken for JSON too, since clients of the platform send it.
JSON_TYPES = (JSON, "application/vnd.api+json")


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: a document that becomes JSON, or bytes as they are."""

    document: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request whose caller may make it."""

    request: web.Request
    services: "ApiServices"
    #: None where nobody needs a token.
    caller: Token | None
    #: What belongs to the request is of this trace.
    trace: TraceContext | None = None

    @property
    def token(self) -> Token:
        """Who calls."""
        assert self.caller is not None  # noqa: S101  (an operation that names roles has one)
        return self.caller

    @property
    def scope(self) -> Scope:
        """The store or organisation that the caller acts for."""
        return self.token.scope

    @property
    def is_admin(self) -> bool:
        """True where the caller may see what only an admin may."""
        return self.token.role is Role.ADMIN

    @property
    def paging(self) -> Paging:
        """The page that was asked for. Raises ApiError."""
        return Paging.of(self.request.query)

    @property
    def base(self) -> str:
        """The API's address as its clients see it."""
        request = self.request
        if url := self.services.settings.api_url:
            return url
        # The target may be in absolute form, which aiohttp takes the port out of; it names the same authority as Host.
        host = request.headers.get(hdrs.HOST)
        return str(URL.build(scheme=request.scheme, authority=host) if host else request.url.origin())

    def named(self, name: str, what: str) -> str:
        """An id of the path. Raises ApiError (404) where it can be none: then nothing of it reaches the ledger."""
        text = self.request.match_info[name]
        try:
            return str(UUID(text))
        except ValueError:
            raise not_found(f"{what} with this id") from None

    async def integration(self) -> Integration:
        """The integration that the path names. Raises ApiError (404) where there is none of the caller's scope."""
        found = await self.services.ledger.integrations.get([self.named("integration_id", "integration")])
        if not found or found[0].scope != self.scope:
            raise not_found("integration with this id")
        return found[0]

    def must_own(self, scope_key: str, what: str) -> None:
        """Raises ApiError (404) unless what was found belongs to the caller's scope."""
        if scope_key != self.scope.key:
            raise not_found(f"{what} with this id")

    async def raw(
        self, types: tuple[str, ...] = JSON_TYPES, *, optional: bool = False, most: int | None = None
    ) -> bytes:
        """The body, whose type must be one of these, of at most so many bytes; EDW_API_BODY_LIMIT is the most of all.

        Raises ApiError (400, 408, 413, 415).
        """
        limit = min(self.services.settings.api_body_limit, most or self.services.settings.api_body_limit)
        request = self.request
        given = request.headers.get(hdrs.CONTENT_TYPE)
        if given is not None and not _is_one_of(types, given, request):
            if optional and not request.can_read_body:
                return b""
            expected = " or ".join(types)
            raise api_error(415, f"expected Content-Type: {expected} (in UTF-8), got {_quoted(given)}")
        coding = self._coding()
        if (request.content_length or 0) > limit:
            raise too_large(limit)
        if (protocol := protocol_of(request)) is not None:
            protocol.ask_for_body()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await (_inflated(request, coding, limit) if coding else _read(request, limit))
        except TimeoutError:
            raise api_error(408, f"the body had not come within {BODY_SECONDS:g} s") from None
        except web.RequestPayloadError:
            raise api_error(400, "the body cannot be read: it does not follow its framing") from None
        except BrokenCodingError as error:
            detail = f"the body cannot be read: it does not follow Content-Encoding {_quoted(coding)}: {error}"
            raise api_error(400, detail) from None
        except ConnectionError:
            # Nobody is there to read this, but for the log.
            raise api_error(400, "the caller went away before the body had come") from None

    def _coding(self) -> str:
        """The coding of the body. Raises ApiError (415)."""
        fields = self.request.headers.getall(hdrs.CONTENT_ENCODING, ())
        if not fields:
            return ""
        try:
            return coding_of(fields)
        except UnknownCodingError:
            detail = f"expected Content-Encoding: one of {ACCEPTED_CODINGS}, or none; got {_quoted(', '.join(fields))}"
            raise api_error(415, detail, {hdrs.ACCEPT_ENCODING: ACCEPTED_CODINGS}) from None

    async def document(self) -> Any:
        """The body, decoded. Raises ApiError (400, 413, 415)."""
        return decoded(await self.raw(most=DOCUMENT_BYTES))

    async def options(self, what: str, most: int = DOCUMENT_BYTES) -> Mapping[str, Any]:
        """What stands at `data` of a body that may be left out. Raises ApiError (400, 413, 415, 422).

        A name that stands beside it is refused: ignoring an unwrapped `dry_run` would do what was only asked about.
        """
        raw = await self.raw(optional=True, most=most)
        body = decoded(raw) if raw.strip() else {}
        inner = body.get("data", {}) if isinstance(body, Mapping) else None
        if not isinstance(inner, Mapping):
            raise invalid([Refusal("data", f"expected an object: {what}")], under="")
        if beside := [name for name in body if name != "data"]:
            hint = 'is not known here; wrap what is meant: {"data": {…}}'
            raise invalid([Refusal(name, hint, (name,)) for name in beside], under="")
        return inner


def _is_one_of(types: tuple[str, ...], given: str, request: web.Request) -> bool:
    # The parser of parameters takes time squared in their number, so that a long header is not parsed at all.
    if len(given) > CONTENT_TYPE_CHARS:
        return False
    return request.content_type in types and (request.charset or "utf-8").lower() == "utf-8"


async def _read(request: web.Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes. Raises ApiError (413)."""
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


async def _inflated(request: web.Request, coding: str, limit: int) -> bytes:
    """Read and inflate a body of at most `limit` bytes, before and after. Raises ApiError (413), BrokenCodingError."""
    inflater, body, read = Inflater(coding), bytearray(), 0
    while chunk := await request.content.readany():
        read += len(chunk)
        for piece in inflater.pieces(chunk):
            body += piece
            if len(body) > limit or read > limit:
                raise too_large(limit)
            # Others have their turn after each piece.
            await asyncio.sleep(0)
    inflater.finish()
    return bytes(body)


def too_large(limit: int) -> ApiError:
    """Return the answer to a body over a limit, in bytes."""
    return api_error(413, f"the body is larger than {limit:,} bytes, the most that is taken")


def decoded(raw: bytes, kind: Any = Any) -> Any:
    """Decode JSON. Raises ApiError (400) that says why the body is none; of a `kind`, also msgspec.ValidationError."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except UnicodeDecodeError as error:
        raise api_error(400, f"the body is not UTF-8 (byte {error.start})") from None
    except msgspec.ValidationError:
        if kind is not Any:
            raise
        # JSON all the same: a number such as 1e999, which no double and no integer of ours can hold.
        pointer = pointer_of_number(raw)
        what = f"expected a number from -{LARGEST_NUMBER} to {LARGEST_NUMBER}"
        raise api_error(400, f"{pointer}: {what}" if pointer else what, pointer=pointer) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise api_error(400, f"the body is not JSON: {error}") from None


def _quoted(text: str) -> str:
    return msgspec.json.encode(text[:100].encode(errors="replace").decode()).decode()


Handler = Callable[[RequestContext], Awaitable[Reply]]
