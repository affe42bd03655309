"""Integrations: who observes what, and where it goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.domain.event import Scope


@dataclass(frozen=True, slots=True)
class Integration:
    """A subscription as the ledger keeps it: secrets in `configuration` are sealed (see secrets.py)."""

    id: str
    scope: Scope
    name: str
    integration_type: str
    observes: tuple[str, ...]
    #: Not in the repr: its secrets may be in the clear (see sealing.py).
    configuration: Mapping[str, Any] = field(default_factory=dict, repr=False)
    description: str = ""
    enabled: bool = True
    #: Its events are matched, and wait.
    paused: bool = False
    #: Deliveries a second, across the fleet; None for as many as go.
    rate_limit: float | None = None
    #: Why the worker disabled it (the receiver answered 410, say); empty where a person did.
    disabled_reason: str = ""
    #: Milliseconds since 1970, by the ledger's clock.
    created_at: int = 0
    updated_at: int = 0
    #: Grows by one with every change; 0 for one that is not in the ledger yet.
    revision: int = 0
    #: How often its secrets were sealed by another key.
    resealed: int = field(default=0, compare=False)
    #: Of its lane, when it was read: `open` until a time (ms), `half` while one attempt shows whether the receiver is
    #: back; else empty.
    circuit: str = field(default="", compare=False)
    circuit_until: int = field(default=0, compare=False)
    #: Since when there was nothing but failures (ms), and how many; 0 where the last attempt did well.
    failing_since: int = field(default=0, compare=False)
    failing_attempts: int = field(default=0, compare=False)
