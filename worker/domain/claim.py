"""A job that a process has leased."""

from dataclasses import dataclass

from worker.domain.stored_event import StoredEvent
from worker.domain.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class Claim:
    """A job leased to this process, and the number of the attempt that it owes."""

    job_id: str
    integration_id: str
    #: The integration's revision by which the lane goes.
    revision: int
    #: Whose the integration is (Scope.key).
    scope_key: str
    event_ref: str
    attempt: int
    #: Attempts that earlier epochs had issued: the schedule counts from here.
    base: int = 0
    epoch: int = 0
    lost: int = 0
    #: None where retention or an old copy of the store took the event away.
    event: StoredEvent | None = None

    @property
    def trace(self) -> TraceContext | None:
        """The trace that its event belongs to."""
        return self.event.event.trace if self.event else None
