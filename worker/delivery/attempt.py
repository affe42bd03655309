"""The record of one attempt: what the log line, the metrics and the IntegrationLog are made of."""

from dataclasses import dataclass, replace

import structlog

from deliverers.contract import Delivered, Gone, Outcome, Refused, Unreachable
from worker.domain.integration_log import IntegrationLog
from worker.domain.retry_policy import Decision, Fail, Retry, Succeed
from worker.domain.trace_context import TraceContext
from worker.ledger import Claim, Settlement, Verdict
from worker.ledger.log_records import log_record
from worker.telemetry import metrics
from worker.telemetry.redis_clock import RedisClock

_log = structlog.get_logger("edw.attempts")


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
    outcome: Outcome | LostAttempt | InterruptedAttempt
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
    def outcome_class(self) -> str:
        """The outcome in a word: delivered, refused, unreachable, gone, interrupted, lost, or internal."""
        return (
            "internal"
            if self.ours and not isinstance(self.outcome, LostAttempt)
            else type(self.outcome).__name__.lower()
        )

    @property
    def succeeded(self) -> bool:
        """True where the receiver has it."""
        return isinstance(self.outcome, Delivered)

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

    @property
    def verdict(self) -> Verdict:
        """How the ledger is to settle it."""
        match self.decision, self.outcome:
            case Succeed(), _:
                return Verdict.SUCCEEDED
            case Fail(), _:
                return Verdict.FAILED
            case _, LostAttempt():
                return Verdict.LOST
            case _, InterruptedAttempt():
                return Verdict.INTERRUPTED
        return Verdict.RETRY

    def settlement(self) -> Settlement:
        """What the ledger writes."""
        claim, decision = self.claim, self.decision
        retry = decision if isinstance(decision, Retry) else Retry(0.0)
        return Settlement(
            job_id=claim.job_id,
            integration_id=claim.integration_id,
            scope_key=claim.scope_key,
            attempt=claim.attempt,
            verdict=self.verdict,
            log=log_record(self.log()),
            reason=decision.reason if isinstance(decision, Fail) else "",
            delay=retry.delay,
            rest=retry.rest,
            revision=claim.revision,
            lost=isinstance(self.outcome, LostAttempt),
            disable=decision.disable if isinstance(decision, Fail) else "",
            healthy=self.healthy,
            why=self.reason,
        )

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


@dataclass(frozen=True, slots=True)
class AttemptReporter:
    """Tells of attempts that are over: the canonical log line and the metrics, by one record."""

    clock: RedisClock
    #: Whether log lines carry what was sent and what was answered (EDW_LOG_PAYLOADS).
    payloads: bool = False
    #: Whether attempts are counted for each integration (EDW_METRICS_INTEGRATIONS).
    integrations: bool = False

    def __call__(self, attempt: Attempt, result: str) -> None:
        """Tells of one; `result` is what the ledger answered to its settlement."""
        if result == "renewed":
            # What was decided was decided of a configuration that is there no more.
            attempt = replace(attempt, decision=Retry(0.0))
        delay = self._delay(attempt)
        _count(attempt, result, delay)
        if self.integrations:
            metrics.observe_integration(attempt.claim.integration_id, attempt.outcome_class)
        _tell(attempt, result, delay, payloads=self.payloads)

    def _delay(self, attempt: Attempt) -> float | None:
        """Seconds from the event's acceptance, by the store's clock, to the attempt's start."""
        event = attempt.claim.event
        if event is None or attempt.began is None:
            return None
        return self.clock.since(event.accepted_at / 1000, attempt.began)


def _count(attempt: Attempt, result: str, delay: float | None) -> None:
    claim = attempt.claim
    metrics.observe_attempt(attempt.integration_type, attempt.outcome_class, attempt.elapsed)
    # What is owed anew is late by somebody's wish.
    if delay is not None and claim.epoch == 0:
        if claim.attempt == 1:
            metrics.FIRST_ATTEMPT_DELAY.observe(delay)
        if attempt.succeeded:
            metrics.DELIVERED_DELAY.observe(delay + attempt.elapsed)
    match attempt.decision:
        case Succeed() if result != "stale":
            metrics.observe_end("delivered")
        case Retry() if result in ("settled", "renewed"):
            metrics.RETRIES.inc()
        case Fail(reason=reason) if result == "settled":
            metrics.observe_end(reason)


def _tell(attempt: Attempt, result: str, delay: float | None, *, payloads: bool) -> None:
    """The canonical line. A receiver's failure is never our error: it is a warning at most. Ours always is."""
    claim, event = attempt.claim, attempt.claim.event
    fields: dict[str, object] = {
        "outcome": attempt.outcome_class,
        "attempt": claim.attempt,
        "job": claim.job_id,
        "integration": claim.integration_id,
        "integration_type": attempt.integration_type,
        "event_id": event.event.id if event else None,
        "event_type": event.event.type if event else None,
        "scope": claim.scope_key,
        "status": attempt.status,
        "duration": round(attempt.elapsed, 6),
    }
    fields |= _where_there_is_one(attempt, delay)
    if payloads:
        fields["payload"] = event.event.data.decode() if event else None
        fields["answer"] = attempt.body
    if result != "settled":
        fields["settled"] = result
    match attempt.decision:
        case Succeed():
            _log.info("attempt", **fields)
            return
        case Retry(delay=delay):
            fields["retry_in"] = round(delay, 3)
        case Fail(reason=reason):
            fields["job_failed"] = reason
    tell = _log.error if attempt.ours else _log.warning
    tell("attempt", reason=attempt.reason, **fields)


def _where_there_is_one(attempt: Attempt, delay: float | None) -> dict[str, object]:
    """Fields that many lines have no use for."""
    fields: dict[str, object] = {}
    if delay is not None:
        fields["delay"] = round(delay, 6)
    if attempt.claim.epoch:
        fields["epoch"] = attempt.claim.epoch
    if attempt.task:
        fields["task"] = attempt.task
    if attempt.detail:
        fields["detail"] = attempt.detail
    if attempt.trace:
        fields |= {"trace_id": attempt.trace.trace_id, "span_id": attempt.trace.span_id}
    return fields
