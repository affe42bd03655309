"""One request on its way to a handler, and the answer on its way back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from aiohttp import hdrs, web

from worker.api.api_errors import api_error, invalid, not_found
from worker.api.paging import Paging
from worker.domain.api_token import Role, Token
from worker.domain.event import Refusal, Scope
from worker.domain.integration import Integration
from worker.domain.trace_context import TraceContext

if TYPE_CHECKING:
    from worker.api.services.api_services import ApiServices

#: A body that has not come by then is not waited for (seconds): a caller that stalls holds nothing for long.
BODY_SECONDS = 30.0

#: Bytes of a body that is decoded whole: an integration with everything at its limit has half as many. What holds an
#: event may have more, of which only slices are made.
DOCUMENT_BYTES = 256 * 1024

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
    rooms: "ApiServices"
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
        return self.rooms.settings.api_url or str(self.request.url.origin())

    def named(self, name: str, what: str) -> str:
        """An id of the path. Raises ApiError (404) where it can be none: then nothing of it reaches the ledger."""
        text = self.request.match_info[name]
        try:
            return str(UUID(text))
        except ValueError:
            raise not_found(f"{what} with this id") from None

    async def integration(self) -> Integration:
        """The integration that the path names. Raises ApiError (404) where there is none of the caller's scope."""
        found = await self.rooms.ledger.integrations.get([self.named("integration_id", "integration")])
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
        limit = min(self.rooms.settings.api_body_limit, most or self.rooms.settings.api_body_limit)
        request = self.request.clone(client_max_size=limit)
        given = request.headers.get(hdrs.CONTENT_TYPE)
        if given is not None and (request.content_type not in types or (request.charset or "utf-8").lower() != "utf-8"):
            if optional and not request.can_read_body:
                return b""
            expected = " or ".join(types)
            raise api_error(415, f"expected Content-Type: {expected} (in UTF-8), got {_quoted(given)}")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except TimeoutError:
            raise api_error(408, f"the body had not come within {BODY_SECONDS:g} s") from None
        except web.HTTPRequestEntityTooLarge:
            raise api_error(413, f"the body is larger than {limit:,} bytes, the most that is taken") from None
        except web.RequestPayloadError:
            encoding = request.headers.get(hdrs.CONTENT_ENCODING, "")
            how = f"Content-Encoding {_quoted(encoding)}" if encoding else "its framing"
            raise api_error(400, f"the body cannot be read: it does not follow {how}") from None
        except ConnectionError:
            # Nobody is there to read this, but for the log.
            raise api_error(400, "the caller went away before the body had come") from None

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


def decoded(raw: bytes, kind: Any = Any) -> Any:
    """JSON, or an ApiError (400) that says why it is none."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except UnicodeDecodeError as error:
        raise api_error(400, f"the body is not UTF-8 (byte {error.start})") from None
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError) as error:
        raise api_error(400, f"the body is not JSON: {error}") from None


def _quoted(text: str) -> str:
    return msgspec.json.encode(text[:100].encode(errors="replace").decode()).decode()


Handler = Callable[[RequestContext], Awaitable[Reply]]
