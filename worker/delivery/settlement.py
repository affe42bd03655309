"""The settlement of a finished attempt: what the ledger is to write."""

from worker.domain.attempt import Attempt, LostAttempt
from worker.domain.retry_policy import Fail, Retry, Succeed
from worker.ledger import Settlement, Verdict


def settlement_of(attempt: Attempt) -> Settlement:
    """Return the attempt's settlement: its log, the job's next state, and the effect on the lane."""
    claim, decision = attempt.claim, attempt.decision
    retry = decision if isinstance(decision, Retry) else Retry(0.0)
    failure = decision if isinstance(decision, Fail) else None
    return Settlement(
        job_id=claim.job_id,
        integration_id=claim.integration_id,
        scope_key=claim.scope_key,
        attempt=claim.attempt,
        verdict=_verdict(attempt),
        log=attempt.log(),
        reason=failure.reason if failure else "",
        delay=retry.delay,
        rest=retry.rest,
        revision=claim.revision,
        lost=isinstance(attempt.outcome, LostAttempt),
        disable=failure.disable if failure else "",
        healthy=attempt.healthy,
        why=attempt.reason,
    )


def _verdict(attempt: Attempt) -> Verdict:
    match attempt.decision:
        case Succeed():
            return Verdict.SUCCEEDED
        case Fail():
            return Verdict.FAILED
    return Verdict.RETRY
