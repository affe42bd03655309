"""Changes that people make, for the audit: who changed what, from which state to which."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

from worker.domain.api_token import Token
from worker.domain.integration import Integration, patience_of


class ChangeAction(StrEnum):
    """The changes that the audit records."""

    INTEGRATION_CREATED = "integration.created"
    INTEGRATION_UPDATED = "integration.updated"
    INTEGRATION_DELETED = "integration.deleted"
    #: A new key pair signs its webhooks, or none signs them any more.
    KEYS_ROTATED = "integration.keys_rotated"
    KEYS_DELETED = "integration.keys_deleted"
    #: Its secrets were sealed with another key; the secrets are the same.
    SECRETS_RESEALED = "integration.secrets_resealed"
    TOKEN_CREATED = "token.created"  # noqa: S105  (an action, and nobody's password)
    TOKEN_REVOKED = "token.revoked"  # noqa: S105  (an action, and nobody's password)
    EVENT_ERASED = "event.erased"
    JOB_REDELIVERED = "job.redelivered"
    JOBS_REDELIVERED = "integration.redelivered"


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: a token with its name, or a user of the command line, who has no token."""

    token_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change. Neither `before` nor `after` holds a secret."""

    actor: Actor
    action: ChangeAction
    #: The scope (Scope.key) that it belongs to.
    scope_key: str
    subject_type: str
    subject_id: str
    #: The attributes that changed, as they were; empty if the subject is new.
    before: Mapping[str, Any] = field(default_factory=dict)
    #: The same attributes as they are now; empty if the subject is gone.
    after: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid4()))
    #: Milliseconds since 1970, by the ledger's clock; 0 before the change is in the ledger.
    made_at: int = 0


def integration_change(
    actor: Actor,
    action: ChangeAction,
    before: Integration | None,
    after: Integration | None,
    new_secrets: list[str] | None = None,
) -> Change:
    """Return the change of an integration, whose secrets the caller has masked in both states.

    Args:
        actor: Who made it.
        action: What it was.
        before: The integration as it was; None if it is new.
        after: The integration as it is now; None if it is gone.
        new_secrets: Names of the secrets that have a new value; their masks may be equal.
    """
    known = after or before
    assert known is not None  # noqa: S101  (a change has at least one state)
    old, new = _attributes(before), _attributes(after)
    if before is not None and after is not None:
        changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        old = {name: value for name, value in old.items() if name in changed}
        new = {name: value for name, value in new.items() if name in changed}
        if new_secrets:
            new["new_secrets"] = new_secrets
    return Change(actor, action, known.scope.key, "integration", known.id, old, new)


def _attributes(integration: Integration | None) -> dict[str, Any]:
    if integration is None:
        return {}
    return {
        "name": integration.name,
        "description": integration.description,
        "enabled": integration.enabled,
        "paused": integration.paused,
        "rate_limit": integration.rate_limit,
        **patience_of(integration),
        **({"filter": dict(integration.filter)} if integration.filter is not None else {}),
        "integration_type": integration.integration_type,
        "observes": list(integration.observes),
        "configuration": dict(integration.configuration),
    }


def keys_change(actor: Actor, action: ChangeAction, before: Integration, after: Integration) -> Change:
    """Return the change of an integration's key pairs; of each, the record has the id."""
    old, new = ({"keys": [pair.id for pair in each.keys or ()]} for each in (before, after))
    return Change(actor, action, before.scope.key, "integration", before.id, old, new)


def token_change(actor: Actor, action: ChangeAction, token: Token) -> Change:
    """Return the creation or revocation of a token."""
    what = {"kind": token.kind.value, "role": token.role.value, "platform": token.platform, "name": token.name}
    before, after = ({}, what) if action is ChangeAction.TOKEN_CREATED else (what, {})
    return Change(actor, action, token.scope.key, "token", token.id, before, after)
