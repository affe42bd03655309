"""An event as the ledger's scripts describe it."""

import msgspec

from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.stored_event import StoredEvent
from worker.domain.trace_context import TraceContext


class WireEvent(msgspec.Struct):
    """What scripts tell of an event, beside its raw bytes."""

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
