"""Handler of `POST /oauth/access_token`, where clients log in (RFC 6749, section 4.4)."""

from collections.abc import Mapping
from time import time
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import hdrs

from worker.api.api_errors import ApiError, error_body
from worker.api.request_context import FORM, JSON_TYPES, Reply, RequestContext, decoded
from worker.api.schemas import AccessToken, OAuthErrorDocument
from worker.api.services.access import basic_pair
from worker.domain.api_token import TokenKind, bearer_of, make_secret, matches, new_id, written

#: Lifetime of a bearer token (seconds).
LIFETIME = 3_600
#: Bytes of a body at most. It needs no token, and has three short fields.
CREDENTIALS_BYTES = 16 * 1024

# The answer holds a token (RFC 6749, section 5.1).
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(ApiError):
    """A failed login, answered in the API's shape and in OAuth's."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, [error_body(status, detail)], headers)
        self.document = OAuthErrorDocument(self.document.errors, code, detail)


async def access_token(call: RequestContext) -> Reply:
    """Exchange a client's id and secret for a bearer token that is valid for an hour."""
    access = call.services.access
    given = await _credentials(call)
    if given.get("grant_type") != "client_credentials":
        raise OAuthError(400, "unsupported_grant_type", "grant_type: expected client_credentials")
    client_id, client_secret = given.get("client_id"), given.get("client_secret")
    if not isinstance(client_id, str) or not isinstance(client_secret, str) or not client_id or not client_secret:
        raise OAuthError(400, "invalid_request", "expected client_id and client_secret")
    try:
        access.check(call.request, client_id, client_secret)
    except ApiError as error:
        raise _slow_down(error) from None
    tokens = call.services.ledger.tokens
    client = await tokens.get(client_id)
    secret = make_secret()
    if client is not None and client.kind is TokenKind.CLIENT and matches(client, client_secret):
        bearer = bearer_of(client, new_id(), secret)
        if await tokens.issue_bearer(client, bearer, LIFETIME):
            access.logged_in(client, bearer)
            expires = int(time()) + LIFETIME
            return Reply(AccessToken(written(bearer.id, secret), expires, LIFETIME), headers=_NO_STORE)
    refused = access.refused(call.request, "the client is unknown, or its secret is wrong")
    if refused.status == 429:
        raise _slow_down(refused)
    raise OAuthError(refused.status, "invalid_client", str(refused), refused.headers)


def _slow_down(refused: ApiError) -> OAuthError:
    # `slow_down` is a code of RFC 8628; RFC 6749 has none for this.
    return OAuthError(refused.status, "slow_down", str(refused), refused.headers)


async def _credentials(call: RequestContext) -> Mapping[str, Any]:
    raw = await call.raw((FORM, *JSON_TYPES), most=CREDENTIALS_BYTES)
    untyped = not call.request.headers.get(hdrs.CONTENT_TYPE, "").strip()
    if call.request.content_type in JSON_TYPES or (untyped and raw.lstrip()[:1] == b"{"):
        body = decoded(raw)
        given = dict(body) if isinstance(body, Mapping) else {}
    else:
        try:
            given = dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=20))
        except ValueError:
            raise OAuthError(400, "invalid_request", "the body is not form-encoded") from None
    scheme, _, rest = call.request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "basic" and (pair := basic_pair(rest)):
        given.setdefault("client_id", pair[0])
        given.setdefault("client_secret", pair[1])
    return given
