"""Sign in with a token or a one-time link, and sign out."""

from collections.abc import Collection

from worker.console.console_session import SESSION_LIFETIME, set_cookie
from worker.console.visit import ROOT, Answer, Html, PageRefusal, SeeOther, Visit
from worker.domain.api_token import (
    OPENING,
    Role,
    Token,
    TokenKind,
    descendant_of,
    make_secret,
    new_id,
    written,
)


async def form(visit: Visit) -> Answer:
    """Return the form that asks for a token."""
    return SeeOther(ROOT) if visit.session else Html("sign_in.html", {"problem": ""})


async def sign_in(visit: Visit) -> Answer:
    """Open a session for a token."""
    token = await _entered(visit, visit.form.get("token", ""), OPENING)
    if isinstance(token, Html):
        return token
    if token.platform or token.role is Role.PUBLISH:
        return _again("This token may only publish events. The console needs a token of the role read or admin.", 403)
    return await _opened(visit, token, TokenKind.SESSION)


async def link_form(visit: Visit) -> Answer:
    """Ask before a one-time link is used up, so that a preview of the link does not use it up."""
    return Html("enter.html", {"given": visit.query.get("link", ""), "problem": ""})


async def enter(visit: Visit) -> Answer:
    """Use up a one-time link, and open a session."""
    link = await _entered(visit, visit.form.get("link", ""), {TokenKind.LINK})
    if isinstance(link, Html):
        text = "This link is unknown, was used before, or has ended. Ask for a new one." if link.status == 403 else ""
        return Html("enter.html", {"given": "", "problem": text or link.values["problem"]}, link.status, link.headers)
    return await _opened(visit, link, TokenKind.GUEST)


async def sign_out(visit: Visit) -> Answer:
    """End the session."""
    await visit.services.ledger.tokens.revoke(visit.token.id)
    return SeeOther(f"{ROOT}/sign-in", {"Set-Cookie": _cookie(visit, "")})


async def _entered(visit: Visit, text: str, kinds: Collection[TokenKind]) -> Token | Html:
    found = await visit.services.access.entered(visit.request, text, kinds)
    if isinstance(found, Token):
        return found
    if found:
        wait = max(1, round(found))
        words = f"Too many attempts from your network. Try again in {wait} s."
        return Html("sign_in.html", {"problem": words}, 429, {"Retry-After": str(wait)})
    return _again("This token is unknown, was revoked, or is of another kind.", 403)


def _again(problem: str, status: int) -> Html:
    return Html("sign_in.html", {"problem": problem}, status)


async def _opened(visit: Visit, source: Token, kind: TokenKind) -> Answer:
    secret = make_secret()
    session = descendant_of(source, kind, new_id(), secret)
    link = source.id if source.kind is TokenKind.LINK else ""
    if not await visit.services.ledger.tokens.open_session(session, SESSION_LIFETIME, link):
        raise PageRefusal(403, "Refused", "The token or link was used or revoked a moment ago.")
    if visit.session:
        await visit.services.ledger.tokens.revoke(visit.session.token.id)
    # An operator's link is that of `edw dev`, whose events belong to the only store.
    first = f"{ROOT}?org=&store=" if link and source.operator else ROOT
    return SeeOther(first, {"Set-Cookie": _cookie(visit, written(session.id, secret))})


def _cookie(visit: Visit, value: str) -> str:
    settings, headers = visit.services.settings, visit.request.headers
    secure = settings.api_url.startswith("https:") or headers.get("X-Forwarded-Proto") == "https"
    return set_cookie(value, secure=secure, embedded=bool(settings.console_frame_ancestors))
