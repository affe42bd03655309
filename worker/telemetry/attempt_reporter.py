"""The report of a finished attempt: its canonical log line and its metrics."""

from dataclasses import dataclass, replace

import structlog

from worker.domain.attempt import Attempt
from worker.domain.retry_policy import Fail, Retry, Succeed
from worker.telemetry import metrics
from worker.telemetry.redis_clock import RedisClock

_log = structlog.get_logger("edw.attempts")


@dataclass(frozen=True, slots=True)
class AttemptReporter:
    """A reporter of finished attempts, which makes the log line and the metrics from the same record."""

    clock: RedisClock
    #: Whether log lines include the sent payload and the answer (EDW_LOG_PAYLOADS).
    payloads: bool = False
    #: Whether attempts are counted for each integration (EDW_METRICS_INTEGRATIONS).
    integrations: bool = False

    def __call__(self, attempt: Attempt, result: str) -> None:
        """Report an attempt; `result` is the ledger's answer to its settlement."""
        if result == "renewed":
            # The configuration has changed since, so the decision is void and the job is due at once.
            attempt = replace(attempt, decision=Retry(0.0))
        delay = self._delay(attempt)
        _count(attempt, result, delay)
        if self.integrations:
            metrics.observe_integration(attempt.claim.integration_id, attempt.outcome_class)
        _log_line(attempt, result, delay, payloads=self.payloads)

    def _delay(self, attempt: Attempt) -> float | None:
        """Return the seconds from the event's acceptance, by Redis' clock, to the attempt's start; None if unknown."""
        event = attempt.claim.event
        if event is None or attempt.began is None:
            return None
        return self.clock.since(event.accepted_at / 1000, attempt.began)


def _count(attempt: Attempt, result: str, delay: float | None) -> None:
    claim = attempt.claim
    metrics.observe_attempt(attempt.integration_type, attempt.outcome_class, attempt.elapsed)
    # Redelivered jobs (epoch > 0) are late on purpose, so they are not measured.
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


def _log_line(attempt: Attempt, result: str, delay: float | None, *, payloads: bool) -> None:
    """Log the canonical line: a receiver's failure is a warning at most, a failure of ours always an error."""
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
    fields |= _optional_fields(attempt, delay)
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
    log = _log.error if attempt.ours else _log.warning
    log("attempt", reason=attempt.reason, **fields)


def _optional_fields(attempt: Attempt, delay: float | None) -> dict[str, object]:
    """Return the fields that only some lines have."""
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
