"""An event as the ledger keeps it, and its form in replies of scripts."""

from dataclasses import dataclass

import msgspec

from worker.domain.event import Event, Scope, rfc3339
from worker.domain.event_parser import stored_event
from worker.domain.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the ledger, with its reference and when it was accepted (ms, the ledger's clock)."""

    ref: str
    event: Event
    accepted_at: int
    #: The Ingress that it came by.
    ingress: str = ""

    @property
    def time(self) -> str:
        """When it happened, RFC 3339: as the producer said, else when it was accepted."""
        return self.event.time or rfc3339(self.accepted_at)


class WireEvent(msgspec.Struct):
    """An event in a reply of a script; its raw bytes come beside it."""

    ref: str
    id: str
    accepted_at: int
    scope: str
    #: Of an event in the inbox: how many processes died that had it to observe.
    lost: int = 0
    ingress: str = ""
    trace: str = ""

    def stored(self, raw: bytes) -> StoredEvent | None:
        """The event; its raw bytes come separately, since they are the producer's. None where they cannot be read."""
        try:
            trace = TraceContext.of_written(self.trace)
            event = stored_event(raw, self.id, Scope.of_key(self.scope), trace)
            return StoredEvent(self.ref, event, self.accepted_at, self.ingress)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
