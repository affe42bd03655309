"""An event in the replies of the ledger's scripts."""

import msgspec

from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.stored_event import StoredEvent
from worker.domain.trace_context import TraceContext


class WireEvent(msgspec.Struct):
    """The fields of an event in a script's reply, without its raw bytes."""

    ref: str
    id: str
    accepted_at: int
    scope: str
    #: For an event in the inbox: how many processes died while they observed it.
    lost: int = 0
    ingress: str = ""
    trace: str = ""
    acceptance: int = 0
    minor: int = 0

    def stored(self, raw: bytes) -> StoredEvent | None:
        """Return the event with its raw bytes, or None if they cannot be read.

        A reply carries the raw bytes separately, exactly as the producer sent them.
        """
        try:
            trace = TraceContext.of_written(self.trace)
            event = stored_event(raw, self.id, Scope.of_key(self.scope), trace)
            return StoredEvent(self.ref, event, self.accepted_at, self.ingress, self.acceptance, self.minor)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
