"""Jobs: each is one event to be delivered to one integration, from opening to end."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.compact_id import bytes_of
from worker.domain.name_uuid import name_uuid


class JobState(StrEnum):
    """The states of a job. The ledger decides which state follows which."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the ledger keeps it. Times are milliseconds since 1970, by the ledger's clock."""

    id: str
    event_ref: str
    integration_id: str
    state: JobState
    #: Why the job ended: `exhausted`, `deadline`, `gone`, `lane_overflow`, `ledger_overflow`,
    #: `integration_deleted`, `erased`.
    reason: str
    attempts: int
    epoch: int
    lost: int
    opened_at: int
    ended_at: int | None
    #: When its next attempt is due; None while an attempt is in flight, and after the job's end.
    due_at: int | None
    event_id: str = ""
    event_type: str = ""


def job_id(event_ref: str, integration_id: str) -> str:
    """Return the id of the only job of an event and an integration. Opening it again changes nothing."""
    return name_uuid(bytes_of(event_ref), integration_id)
