"""IntegrationLogs: the record of one attempt."""

from dataclasses import dataclass
from uuid import UUID, uuid5


@dataclass(frozen=True, slots=True)
class IntegrationLog:
    """What came of one attempt, in the words of the specification's IntegrationLog."""

    job_id: str
    integration_id: str
    attempt: int
    succeeded: bool
    #: What the receiver answered, cut to the log's limit.
    body: str
    status_code: int | None
    #: What went wrong, in words; empty where nothing did.
    error_detail: str
    #: Seconds from the start of the attempt to its outcome.
    processing_time: float
    #: Milliseconds since 1970, by the ledger's clock; 0 before the ledger has it.
    created_at: int = 0
    event_id: str = ""
    event_type: str = ""

    @property
    def id(self) -> str:
        """uuid5(job, attempt): however often an attempt is reported, it has one log."""
        return log_id(self.job_id, self.attempt)


def log_id(job: str, attempt: int) -> str:
    """The id of the log of a job's attempt."""
    return str(uuid5(UUID(job), str(attempt)))
