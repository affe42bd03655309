"""Small events, integrations and tokens that many tests use."""

from typing import Any

import msgspec

from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.event import Event, Scope
from worker.domain.event_parser import stored_event
from worker.domain.integration import Integration
from worker.ledger import Ledger

SCOPE = Scope("org-1", "store-1")
#: Another store of the same organisation.
ELSEWHERE = Scope(SCOPE.org_id, "store-2")


def order_paid(**changes: Any) -> dict[str, Any]:
    """Return a small event, as a producer writes it."""
    event = {
        "type": "order.paid",
        "store_id": SCOPE.store_id,
        "org_id": SCOPE.org_id,
        "data": {"type": "order", "id": "o-1"},
    }
    return event | changes


def an_event(event_id: str = "e-1", scope: Scope = SCOPE, data: bytes = b'{"n":1}', **more: Any) -> Event:
    """Return a parsed event, as the ledger takes it."""
    event = {"id": event_id, "type": "order.paid", "org_id": scope.org_id, "store_id": scope.store_id}
    raw = msgspec.json.encode(event | {"data": msgspec.Raw(data)} | more)
    return stored_event(raw, event_id, scope)


def an_integration(integration_id: str = "i-1", **changes: Any) -> Integration:
    """Return an enabled webhook of `SCOPE` that observes `order.paid`."""
    values: dict[str, Any] = {
        "id": integration_id,
        "scope": SCOPE,
        "name": f"name of {integration_id}",
        "integration_type": "webhook",
        "observes": ("order.paid",),
        "configuration": {"url": "https://shop.example/hook"},
    }
    return Integration(**(values | changes))


async def issue_token(
    ledger: Ledger,
    role: Role = Role.ADMIN,
    scope: Scope = SCOPE,
    *,
    platform: bool = False,
    kind: TokenKind = TokenKind.TOKEN,
) -> str:
    """Make a token, and return it as its bearer sends it."""
    token_id, secret = new_id(), make_secret()
    token = Token(token_id, kind, role, Scope() if platform else scope, platform, digest=digest_of(secret))
    await ledger.tokens.put(token)
    return written(token_id, secret)
