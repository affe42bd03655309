"""Handler of one-time links into a store's console."""

from math import isfinite

from worker.api.api_errors import invalid
from worker.api.request_context import Reply, RequestContext
from worker.api.schemas import ConsoleLink, Single
from worker.domain.api_token import Role, TokenKind, descendant_of, make_secret, new_id, written
from worker.domain.event import Refusal, rfc3339

PATH = "/v2/console/links"
#: Seconds for which a link works: by default, at least and at most.
LIFETIME, SHORTEST, LONGEST = 300, 10, 900
#: Roles that a link may give.
ROLES = (Role.READ, Role.ADMIN)


async def create_link(call: RequestContext) -> Reply:
    """Return a link that opens the console of the caller's store once."""
    given = await call.options("the role and the lifetime of the link")
    role, seconds = given.get("role", Role.READ.value), given.get("expires_in", LIFETIME)
    problems = [Refusal(name, "is unknown", (name,)) for name in given if name not in ("role", "expires_in", "type")]
    if role not in ROLES:
        problems.append(Refusal("role", "expected read or admin"))
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and isfinite(seconds)
    if not (is_number and SHORTEST <= seconds <= LONGEST):
        problems.append(Refusal("expires_in", f"expected seconds, from {SHORTEST} to {LONGEST}"))
    if problems:
        raise invalid(problems)
    secret = make_secret()
    link = descendant_of(call.token, TokenKind.LINK, new_id(), secret, Role(role))
    if not await call.services.ledger.tokens.open_session(link, seconds):
        raise call.services.access.refused(call.request, "the token was revoked")
    now = (await call.services.ledger.membership.read()).now
    url = f"{call.base}/console/enter?link={written(link.id, secret)}"
    document = ConsoleLink(url=url, role=role, expires_at=rfc3339(now + round(seconds * 1000)))
    return Reply(Single(document), 201, {"Cache-Control": "no-store"})
