"""Jobs: an event owed to an integration, from opening to its end."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID, uuid5


class JobState(StrEnum):
    """The states of a job; worker/ledger says which follows which."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the ledger knows it. Times are milliseconds since 1970, by the ledger's clock."""

    id: str
    event_ref: str
    integration_id: str
    state: JobState
    #: Why it ended: `exhausted`, `deadline`, `gone`, `lane_overflow`, `integration_deleted`.
    reason: str
    attempts: int
    epoch: int
    lost: int
    opened_at: int
    ended_at: int | None
    #: When its next attempt is due; None while one is in flight, and after its end.
    due_at: int | None
    event_id: str = ""
    event_type: str = ""


def job_id(event_ref: str, integration_id: str) -> str:
    """The one job of an event and an integration: opening it twice opens it once."""
    return str(uuid5(UUID(event_ref), integration_id))
