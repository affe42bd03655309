"""Tokens: list, create (shown once), revoke."""

from worker.console.visit import Answer, Html, PageRefusal, SeeOther, Visit, nothing_here
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.change import ChangeAction, token_change
from worker.domain.event import Scope
from worker.domain.humanize import one_line

#: The newest tokens that the page looks at.
LOOKED_AT = 500
#: Longest name of a token, in characters.
NAME_MOST = 255


async def show(visit: Visit) -> Answer:
    """Return the tokens of the store; those of all stores for an operator who has not chosen one."""
    return await _page(visit)


async def create(visit: Visit) -> Answer:
    """Create a token, and show it once."""
    if visit.is_guest:
        raise PageRefusal(403, "Not allowed", "A session of a one-time link makes no tokens, which would outlive it.")
    role = visit.form.get("role", "")
    if role not in set(Role):
        raise PageRefusal(400, "Refused", "The form names no known role.")
    secret = make_secret()
    name = one_line(visit.form.get("name", ""), NAME_MOST)
    token = Token(new_id(), TokenKind.TOKEN, Role(role), visit.scope, name=name, digest=digest_of(secret))
    await visit.services.ledger.tokens.put(token, token_change(visit.actor, ChangeAction.TOKEN_CREATED, token))
    return await _page(visit, written(token.id, secret))


async def revoke(visit: Visit) -> Answer:
    """Revoke a token."""
    token = await visit.services.ledger.tokens.get(visit.params["token"])
    if token is None or not _is_in_reach(visit, token):
        raise nothing_here("token")
    if visit.is_guest:
        raise PageRefusal(403, "Not allowed", "A session of a one-time link revokes no tokens.")
    await visit.services.ledger.tokens.revoke(token.id, token_change(visit.actor, ChangeAction.TOKEN_REVOKED, token))
    return SeeOther(visit.link("/tokens"))


def _is_in_reach(visit: Visit, token: Token) -> bool:
    if token.kind not in (TokenKind.TOKEN, TokenKind.CLIENT, TokenKind.OPERATOR):
        return False
    return visit.is_operator or (token.scope == visit.token.scope and not token.platform and not token.operator)


async def _page(visit: Visit, made: str = "") -> Html:
    found = await visit.services.ledger.tokens.listing(0, LOOKED_AT)
    scope = visit.chosen
    tokens = [
        each
        for each in found
        if _is_in_reach(visit, each)
        and (scope is None or (each.scope == scope and not each.platform and not each.operator))
    ]
    values = {
        "tokens": tokens,
        "made": made,
        "roles": [each.value for each in (Role.READ, Role.PUBLISH, Role.ADMIN)],
        "cut": len(found) == LOOKED_AT,
        "no_scope": Scope(),
        "own": visit.token.parent,
    }
    return Html("tokens.html", values)
