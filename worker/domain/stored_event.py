"""An event as the ledger keeps it."""

from dataclasses import dataclass

from worker.domain.event import Event, rfc3339


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the ledger, with its reference and when it was accepted (ms, the ledger's clock)."""

    ref: str
    event: Event
    accepted_at: int
    #: The Ingress by which it was accepted; empty where it is unknown.
    ingress: str = ""

    @property
    def time(self) -> str:
        """When it happened, RFC 3339: as the producer said, else when it was accepted."""
        return self.event.time or rfc3339(self.accepted_at)
