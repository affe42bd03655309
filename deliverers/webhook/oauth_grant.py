"""OAuth 2.0 client credentials (RFC 6749, section 4.4): the request for an access token, and its answer. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, quote_plus, urlencode

import msgspec
from pydantic import SecretStr

from deliverers.answers import decompressed, printable, status_phrase
from deliverers.contract import Unreachable
from deliverers.exchange import MASKED
from deliverers.http import USER_AGENT, HttpAnswer, HttpTarget, RequestHead
from deliverers.lazily import Lazily
from deliverers.renewed_values import Fetched
from deliverers.webhook.webhook_headers import LONGEST_VALUE, basic_credentials, echoes

AuthMethod = Literal["client_secret_basic", "client_secret_post"]

#: Bytes read of the answer.
READ_LIMIT = 64 * 1024
#: Seconds for which a token is kept whose server does not say how long it lives.
UNSTATED_SECONDS = 300.0
#: Seconds; a token is fetched anew after a day, however long it lives.
LONGEST_SECONDS = 86_400.0
#: Characters shown of what the server says about an error.
_SHOWN_CHARS = 200
_TOKEN = re.compile(r"[\x21-\x7e]+")
#: The codes of RFC 6749, section 5.2.
_WORDS = {
    "invalid_client": "the client id or secret is not valid",
    "invalid_grant": "the client's credentials are not valid, or have expired",
    "unauthorized_client": "this client may not use client credentials",
    "unsupported_grant_type": "the server does not support client credentials",
    "invalid_scope": "the scope is not valid, or not for this client",
    "invalid_request": "the server does not understand the request: compare oauth_auth_method with what it expects",
}


@dataclass(frozen=True)
class OAuthGrant:
    """An integration's credentials at a token server. Equal ones share a token, within one tenant."""

    token_url: str
    client_id: str
    client_secret: SecretStr = field(repr=False)
    scope: str = ""
    audience: str = ""
    method: AuthMethod = "client_secret_basic"

    @Lazily
    def target(self) -> HttpTarget:
        """Return where tokens are asked for."""
        return HttpTarget.of(self.token_url)

    @Lazily
    def head(self) -> RequestHead:
        """Return the head of the request."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
        }
        if self.method == "client_secret_basic":
            # RFC 6749, section 2.3.1: form-encoded first, then joined.
            pair = (quote_plus(self.client_id), quote_plus(self.client_secret.get_secret_value()))
            headers["Authorization"] = basic_credentials(*pair)
        return RequestHead("POST", self.target, headers)

    @Lazily
    def body(self) -> bytes:
        """Return the body of the request."""
        form = {"grant_type": "client_credentials"}
        form |= {"scope": self.scope} if self.scope else {}
        form |= {"audience": self.audience} if self.audience else {}
        if self.method == "client_secret_post":
            form |= {"client_id": self.client_id, "client_secret": self.client_secret.get_secret_value()}
        return urlencode(form).encode()

    @Lazily
    def secret_forms(self) -> tuple[bytes, ...]:
        """Return the secret as an answer may repeat it."""
        secret = self.client_secret.get_secret_value()
        blob = basic_credentials(quote_plus(self.client_id), quote_plus(secret)).partition(" ")[2]
        return echoes([secret, quote_plus(secret), quote(secret, safe=""), blob])


class _TokenAnswer(msgspec.Struct):
    access_token: str = ""
    token_type: str = "bearer"  # noqa: S105  (a word of RFC 6750)
    expires_in: float | str | None = None
    error: str = ""
    error_description: str = ""


def token_of(answer: HttpAnswer, grant: OAuthGrant) -> Fetched[str] | Unreachable:
    """Return the access token of an answer, or in words why there is none; no word of it is a secret."""
    status = status_phrase(answer.status)
    if answer.broken:
        return no_token(grant, f"answered {status}, but {answer.broken}")
    body = decompressed(answer.body, answer.header("content-encoding") or "", READ_LIMIT)
    try:
        found = msgspec.json.decode(body, type=_TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if not answer.is_success:
        return no_token(grant, _refusal(found, status, grant))
    if found is None:
        return no_token(grant, f"answered {status} without the JSON of an access token")
    if not found.access_token or len(found.access_token) > LONGEST_VALUE or not _TOKEN.fullmatch(found.access_token):
        return no_token(grant, f"answered {status} without an access_token that fits a header")
    if found.token_type.lower() != "bearer":
        return no_token(
            grant, f"answered with the token_type {printable(found.token_type, 40)!r}, not with a bearer token"
        )
    return Fetched(found.access_token, _seconds(found.expires_in))


def no_token(grant: OAuthGrant, why: str) -> Unreachable:
    """Return the outcome of an attempt that had no access token."""
    return Unreachable(f"no access token from {grant.target.endpoint} (OAuth): {why}")


def _refusal(found: _TokenAnswer | None, status: str, grant: OAuthGrant) -> str:
    if found is None or not found.error:
        return f"it refused the request ({status})"
    code, said = (_scrubbed(text, grant) for text in (found.error, found.error_description))
    words = _WORDS.get(found.error, "it refused the request")
    return f"{words} ({status}, {code}{f': {said}' if said else ''})"


def _scrubbed(text: str, grant: OAuthGrant) -> str:
    for secret in grant.secret_forms:
        text = text.replace(secret.decode(), MASKED)
    return printable(text, _SHOWN_CHARS)


def _seconds(expires_in: float | str | None) -> float:
    """Return how long a token lives; some servers send the number as a text."""
    try:
        seconds = UNSTATED_SECONDS if expires_in is None else float(expires_in)
    except ValueError:
        seconds = UNSTATED_SECONDS
    return min(max(seconds, 0.0), LONGEST_SECONDS) if seconds == seconds else UNSTATED_SECONDS  # noqa: PLR0124  (NaN)
