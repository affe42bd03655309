"""Sessions: the cookie, the anti-forgery token of forms, and whether a request comes from our own pages. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from urllib.parse import urlsplit

from aiohttp import hdrs

from worker.domain.api_token import Token, digest_of, read

COOKIE = "edw_console"
#: The hidden field of every form.
FORM_TOKEN = "form_token"  # noqa: S105  (a field's name)
#: Seconds.
SESSION_LIFETIME = 3_600


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A person who has signed in. `token` is the session's own; the token that was entered is not kept."""

    token: Token
    secret: str = field(repr=False)

    @property
    def form_token(self) -> str:
        """The anti-forgery token of this session's forms. It does not reveal the cookie."""
        return digest_of(f"form {self.secret}")

    def owns(self, form: Mapping[str, str]) -> bool:
        """Return whether a form was made for this session."""
        return compare_digest(form.get(FORM_TOKEN, "").encode(errors="replace"), self.form_token.encode())


def cookie_of(cookies: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the id and the secret in a request's cookie; None if it has none."""
    return read(cookies.get(COOKIE, ""))


def set_cookie(value: str, *, secure: bool, embedded: bool) -> str:
    """Return a Set-Cookie header. An empty value deletes the cookie.

    Only where other sites may embed the console (`embedded`), the cookie is sent in their frames too.
    """
    age = SESSION_LIFETIME if value else 0
    site = "SameSite=None; Secure; Partitioned" if embedded else "SameSite=Lax" + "; Secure" * secure
    return f"{COOKIE}={value}; Path=/console; Max-Age={age}; HttpOnly; {site}"


def is_same_origin(headers: Mapping[str, str], api_url: str) -> bool:
    """Return whether a browser sent the request from a page of this origin.

    Sec-Fetch-Site decides where the browser sends it. Otherwise Origin must name the host of the request, or the host
    of EDW_API_URL.
    """
    if site := headers.get("Sec-Fetch-Site"):
        return site == "same-origin"
    try:
        origin = urlsplit(headers.get(hdrs.ORIGIN, "")).netloc
    except ValueError:
        return False
    return bool(origin) and origin in (headers.get(hdrs.HOST), urlsplit(api_url).netloc)
