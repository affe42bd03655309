"""An event as the ledger keeps it."""

from dataclasses import dataclass, field

from deliverers.quick_values import quickly_made
from worker.domain.event import Event, rfc3339


@quickly_made
@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the ledger, with its reference and the time of its acceptance (ms since 1970, the ledger's clock)."""

    ref: str
    event: Event
    accepted_at: int
    #: The Ingress by which it was accepted; empty if unknown.
    ingress: str = ""
    #: The minor version that a process needs to understand it.
    minor: int = 0
    #: Bytes of its record in the ledger.
    record_bytes: int = 0
    #: Grows with each accepted event of the same resource: microseconds since 1970, by the ledger's clock.
    sequence: int = field(default=0, compare=False)
    #: Whether its data was erased.
    erased: bool = field(default=False, compare=False)

    @property
    def time(self) -> str:
        """When it happened, in RFC 3339: the producer's time, or else the time of acceptance."""
        return self.event.time or rfc3339(self.accepted_at)
