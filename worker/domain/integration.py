"""Integrations: which events a subscription observes, and where they are delivered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deliverers.quick_values import quickly_made
from worker.domain.event import Scope
from worker.domain.signing_keys import KeyPair


@quickly_made
@dataclass(frozen=True, slots=True)
class Integration:
    """A subscription as the ledger keeps it: secrets in `configuration` are sealed (see secrets_box.py)."""

    id: str
    scope: Scope
    name: str
    integration_type: str
    observes: tuple[str, ...]
    #: Not in the repr: its secrets may be in the clear (see sealing.py).
    configuration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    description: str = ""
    enabled: bool = True
    #: While it is paused, its events are matched and wait.
    paused: bool = False
    #: Deliveries per second across the fleet; None for no limit.
    rate_limit: float | None = None
    #: Time limit of an attempt in seconds; None for the deployment's.
    timeout: float | None = None
    #: The pause after each failed attempt, in seconds; None for the deployment's.
    retry_schedule: tuple[float, ...] | None = None
    #: The pattern that its events must match (see content_filter.py); None for no filter.
    filter: Mapping[str, Any] | None = None
    #: The key pairs that sign its webhooks, the newest first, private keys sealed; None for none.
    keys: tuple[KeyPair, ...] | None = field(default=None, repr=False)
    #: Why the worker disabled it, for example because the receiver answered 410. Empty if a person disabled it.
    disabled_reason: str = ""
    #: Milliseconds since 1970, by the ledger's clock (as is `updated_at`).
    created_at: int = 0
    updated_at: int = 0
    #: Grows by one with every change; 0 before the integration is in the ledger.
    revision: int = 0
    #: How often its secrets were sealed again with another key.
    resealed: int = field(default=0, compare=False)
    #: The state of its lane's circuit when it was read: `open` until `circuit_until` (ms), `half` while one attempt
    #: tests whether the receiver works again, empty if the circuit is closed.
    circuit: str = field(default="", compare=False)
    circuit_until: int = field(default=0, compare=False)
    #: Start (ms) and number of the consecutive failures up to now; both 0 if the last attempt succeeded.
    failing_since: int = field(default=0, compare=False)
    failing_attempts: int = field(default=0, compare=False)
    #: The minor version that a process needs to understand it.
    minor: int = field(default=0, compare=False)
    #: Fields of its document that a newer version wrote, as JSON. An edit keeps them.
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def patience_of(integration: Integration) -> dict[str, Any]:
    """Return the attributes of an integration's own patience, those that it has."""
    schedule = integration.retry_schedule
    return {
        **({"timeout": integration.timeout} if integration.timeout is not None else {}),
        **({"retry_schedule": list(schedule)} if schedule is not None else {}),
    }
