"""IntegrationLogs: the records of attempts."""

from dataclasses import dataclass, field
from uuid import UUID, uuid5

from deliverers.exchange import WireRecord
from deliverers.quick_values import quickly_made


@quickly_made
@dataclass(frozen=True, slots=True)
class IntegrationLog:
    """The outcome of one attempt, in the terms of the specification's IntegrationLog."""

    job_id: str
    integration_id: str
    attempt: int
    succeeded: bool
    #: The body of the receiver's answer, cut to the log's limit.
    body: str
    status_code: int | None
    #: Description of the failure; empty if the attempt succeeded.
    error_detail: str
    #: Seconds from the start of the attempt to its outcome.
    processing_time: float
    #: Milliseconds since 1970, by the ledger's clock; 0 before the log is in the ledger.
    created_at: int = 0
    event_id: str = ""
    event_type: str = ""
    #: The times of its phases, and for some logs what was sent and answered; None if the deliverer does not say.
    exchange: WireRecord | None = field(default=None, compare=False, repr=False)
    #: The process that made the attempt, as the ledger names it; empty if its exchange is not kept.
    worker: str = field(default="", compare=False)

    @property
    def id(self) -> str:
        """uuid5(job, attempt), so that an attempt has one log, however often it is reported."""
        return log_id(self.job_id, self.attempt)


def log_id(job: str, attempt: int) -> str:
    """Return the id of the log of a job's attempt."""
    return str(uuid5(UUID(job), str(attempt)))
