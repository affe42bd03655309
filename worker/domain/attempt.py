"""The record of one attempt, from which its log line, metrics, IntegrationLog and settlement are made."""

from dataclasses import dataclass

from deliverers.contract import Counted, Delivered, Gone, Refused, Unreachable
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
    """The worker was told to stop before the attempt was over."""

    reason: str = "the worker stopped before this attempt was over; its outcome is unknown"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a job, over; `elapsed` in seconds."""

    claim: Claim
    integration_type: str
    outcome: Counted | LostAttempt | InterruptedAttempt
    decision: Decision
    elapsed: float
    #: When it began, a moment of perf_counter(); None where that was in another process.
    began: float | None = None
    #: It failed by something of ours, such as a deliverer's bug or a missing key, and not by the receiver.
    ours: bool = False
    #: The Celery task that opened the job, where this attempt came of one.
    task: str = ""
    #: What the receiver was told, where there is one.
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
        """The outcome as it is counted: `outcome_name`, or internal where the failure is ours."""
        return "internal" if self.ours and not isinstance(self.outcome, LostAttempt) else self.outcome_name

    @property
    def succeeded(self) -> bool:
        """True where the receiver has it."""
        return isinstance(self.outcome, Delivered)

    @property
    def reached(self) -> bool:
        """True where the receiver answered, whatever it said."""
        return isinstance(self.outcome, Delivered | Refused | Gone)

    @property
    def healthy(self) -> bool | None:
        """Whether the receiver did well; None where the attempt says nothing of it, such as one that failed by us."""
        says_nothing = (
            isinstance(self.outcome, LostAttempt | InterruptedAttempt) or self.claim.event is None or self.ours
        )
        return None if says_nothing else self.succeeded

    @property
    def reason(self) -> str:
        """What went wrong, in words; empty where nothing did."""
        return "" if isinstance(self.outcome, Delivered) else self.outcome.reason

    @property
    def detail(self) -> str:
        """What only our own log says of a failure, such as the addresses that were dialled."""
        return self.outcome.detail if isinstance(self.outcome, Unreachable) else ""

    @property
    def status(self) -> int | None:
        """The receiver's status code, where it answered with one."""
        match self.outcome:
            case Delivered(status=status) | Refused(status=status) | Gone(status=status):
                return status
        return None

    @property
    def body(self) -> str:
        """What the receiver answered."""
        match self.outcome:
            case Delivered(body=body) | Refused(body=body) | Gone(body=body):
                return body
        return ""

    def log(self, created_at: int = 0) -> IntegrationLog:
        """The IntegrationLog that the attempt leaves; its time is the ledger's to say, where the ledger keeps it."""
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
        )
