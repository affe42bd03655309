"""Small events, integrations and tokens that many tests use."""

from typing import Any

import msgspec

from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.event import Event, Scope
from worker.domain.event_parser import stored_event
from worker.domain.integration import Integration
from worker.domain.lifecycle import ExhaustedJobs, Notice, warning_of
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


#: Headers and a URL of a request with whatever a shell treats specially, and with secrets.
ODD_HEADERS = [
    ("Host", "shop.example"),
    ("Content-Length", "12"),
    ("X-Odd", 'it\'s "$HOME" `id` \\ *'),
    ("X-MOLTIN-SECRET-KEY", "correct-horse"),
]
ODD_URL = "https://shop.example/hook's $(id)?token=geheim"


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


def warnings() -> dict[str, dict[str, Any]]:
    """Return the data of a lifecycle event of each kind that warns people, about `an_integration()` named ERP."""
    notices: list[Notice | ExhaustedJobs] = [
        Notice("failing", "i-1", 9_000, since=1_000, attempts=20, percent=50, why="answered 500", disable_at=17_000),
        Notice("recovered", "i-1", 9_000, since=1_000, attempts=20),
        Notice("disabled", "i-1", 9_000, why="answered 410 Gone", attempts=1),
        Notice("filling", "i-1", 9_000, percent=90, jobs=9, bytes=900, most=10, most_bytes=0),
        Notice("ending", "i-1", 9_000, field="client_certificate", ends=10_000),
        ExhaustedJobs("i-1", 3, 1_000, "2da46671-b4c2-44ac-b133-d1221aafc77b", "answered 500"),
    ]
    made = (warning_of(each, an_integration(name="ERP"), "https://edw.example") for each in notices)
    return {key: msgspec.to_builtins(data) for key, data in made}
