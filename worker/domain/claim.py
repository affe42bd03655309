"""A job that a process has leased."""

from dataclasses import dataclass, field

from deliverers.quick_values import quickly_made
from worker.domain.stored_event import StoredEvent
from worker.domain.trace_context import TraceContext


@quickly_made
@dataclass(frozen=True, slots=True)
class Claim:
    """A job leased to this process, and the number of the attempt to make."""

    job_id: str
    integration_id: str
    #: The integration's revision that the lane uses.
    revision: int
    #: The integration's scope (Scope.key).
    scope_key: str
    event_ref: str
    attempt: int
    #: Number of the last attempt before the current epoch; the retry schedule counts from here.
    base: int = 0
    epoch: int = 0
    lost: int = 0
    #: None if retention removed the event, or if Redis was restored from an older copy without it.
    event: StoredEvent | None = None
    #: The term of the process's lease in which it was claimed (worker/ledger/lease.py); 0 is never sent.
    term: int = field(default=0, compare=False)
    #: The number of the process's call that claimed it, which no other claim of the job has; 0 if it was taken over.
    call: int = field(default=0, compare=False)

    @property
    def trace(self) -> TraceContext | None:
        """The trace that the job's event belongs to."""
        return self.event.event.trace if self.event else None
