"""The record of one attempt: the source of its log line, metrics, IntegrationLog and settlement."""

from dataclasses import dataclass

from deliverers.contract import Counted, Delivered, Gone, Refused, Unreachable
from deliverers.exchange import WireRecord
from deliverers.quick_values import quickly_made
from worker.domain.claim import Claim
from worker.domain.integration_log import IntegrationLog
from worker.domain.retry_policy import Decision
from worker.domain.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """The worker died while the attempt was in flight."""

    reason: str = "the worker was lost while this attempt was in flight; its outcome is unknown"


@dataclass(frozen=True, slots=True)
class InterruptedAttempt:
    """The worker stopped before the attempt was over."""

    reason: str = "the worker stopped before this attempt was over; its outcome is unknown"


@quickly_made
@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished try at a job."""

    claim: Claim
    integration_type: str
    outcome: Counted | LostAttempt | InterruptedAttempt
    decision: Decision
    #: Seconds.
    elapsed: float
    #: When the attempt began, by perf_counter() (seconds); None if it began in another process.
    began: float | None = None
    #: It failed because of the worker, such as a deliverer's bug or a missing key, and not because of the receiver.
    ours: bool = False
    #: The Celery task that led to this attempt; empty if there is none.
    task: str = ""
    #: The trace context that the receiver got; None if it got none.
    trace: TraceContext | None = None

    @property
    def outcome_name(self) -> str:
        """The outcome in one word: delivered, refused, unreachable, gone, interrupted or lost."""
        match self.outcome:
            case LostAttempt():
                return "lost"
            case InterruptedAttempt():
                return "interrupted"
        return type(self.outcome).__name__.lower()

    @property
    def outcome_class(self) -> str:
        """The outcome as metrics count it: `outcome_name`, or internal if the worker caused the failure."""
        return "internal" if self.ours and not isinstance(self.outcome, LostAttempt) else self.outcome_name

    @property
    def succeeded(self) -> bool:
        """Whether the receiver accepted the event."""
        return isinstance(self.outcome, Delivered)

    @property
    def reached(self) -> bool:
        """Whether the receiver answered, with success or failure."""
        return isinstance(self.outcome, Delivered | Refused | Gone)

    @property
    def healthy(self) -> bool | None:
        """Whether the receiver works; None if the attempt does not show it, such as after a failure of the worker."""
        says_nothing = (
            isinstance(self.outcome, LostAttempt | InterruptedAttempt) or self.claim.event is None or self.ours
        )
        return None if says_nothing else self.succeeded

    @property
    def reason(self) -> str:
        """Description of the failure; empty if the attempt succeeded."""
        return "" if isinstance(self.outcome, Delivered) else self.outcome.reason

    @property
    def detail(self) -> str:
        """Details of a failure for our own log only, such as the addresses that were dialled."""
        return self.outcome.detail if isinstance(self.outcome, Unreachable) else ""

    @property
    def status(self) -> int | None:
        """The receiver's status code; None if it sent none."""
        match self.outcome:
            case Delivered(status=status) | Refused(status=status) | Gone(status=status):
                return status
        return None

    @property
    def exchange(self) -> WireRecord | None:
        """What was sent and what was answered, as far as the deliverer says."""
        return None if isinstance(self.outcome, LostAttempt | InterruptedAttempt) else self.outcome.exchange

    @property
    def body(self) -> str:
        """The body of the receiver's answer."""
        match self.outcome:
            case Delivered(body=body) | Refused(body=body) | Gone(body=body):
                return body
        return ""

    def log(self, created_at: int = 0) -> IntegrationLog:
        """Return the attempt's IntegrationLog. The ledger sets the time of the logs that it keeps."""
        event = self.claim.event.event if self.claim.event else None
        return IntegrationLog(
            job_id=self.claim.job_id,
            integration_id=self.claim.integration_id,
            attempt=self.claim.attempt,
            succeeded=self.succeeded,
            body=self.body,
            status_code=self.status,
            error_detail=self.reason,
            processing_time=self.elapsed,
            event_id=event.id if event else "",
            event_type=event.type if event else "",
            created_at=created_at,
            exchange=self.exchange,
        )
