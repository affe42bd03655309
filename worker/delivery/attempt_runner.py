"""One attempt, from a claim to its outcome: find the target, deliver, and decide the next step."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from math import isnan
from time import perf_counter
from traceback import format_exception
from typing import Protocol

import structlog

from deliverers.contract import Counted, NotAttempted, Outcome, Refused, Resource, Unreachable
from deliverers.exhaustion import exhausted
from deliverers.redaction import safe_traceback
from worker.delivery.in_flight import InFlightAttempt
from worker.delivery.settler import LEDGER_RETRY_SECONDS
from worker.domain.attempt import Attempt, InterruptedAttempt, LostAttempt
from worker.domain.claim import Claim
from worker.domain.deliveries import delivery_of
from worker.domain.delivery_target import DeliveryTarget, NoTarget
from worker.domain.retry_policy import Decision, Fail, Retry, RetryPolicy
from worker.ledger import LedgerError
from worker.telemetry import metrics
from worker.telemetry.task_context import celery_task
from worker.telemetry.tracing import Unattended, attempt_span
from worker.telemetry.tracing.traces import AttemptSpan, Traces

_log = structlog.get_logger("edw.delivery")

#: The time after its deadline (seconds) until a deliverer that has not returned is cancelled.
DEADLINE_GRACE_SECONDS = 5.0


class TargetLookup(Protocol):
    """Finds the target that a claimed job is delivered to."""

    def known_target(self, claim: Claim) -> DeliveryTarget | NoTarget | None: ...
    async def load_target(self, claim: Claim) -> DeliveryTarget | NoTarget: ...


class AttemptRunner:
    """Makes attempts, for claimed jobs and for test deliveries.

    Args:
        targets: Finds the target of a job.
        policy: Decides the next step after an outcome.
        timeout: The time that a deliverer has for one attempt (seconds), unless the integration has its own.
        random: Returns a number from 0 to 1, for jitter.
        traces: Traces attempts; None disables tracing.
        may_send: Returns whether this process still has the lease of the job. Asked last before anything is sent: a
            process that was stopped or cut off from the ledger may not know that another one has the job by now.
    """

    def __init__(
        self,
        targets: TargetLookup,
        policy: RetryPolicy,
        timeout: float,
        random: Callable[[], float],
        traces: Traces | None,
        may_send: Callable[[Claim], bool] = lambda _: True,
    ) -> None:
        self._targets = targets
        self._policy = policy
        self._timeout = timeout
        self._random = random
        self._traces = traces
        self._may_send = may_send

    async def run(self, attempt: InFlightAttempt) -> Attempt | NotAttempted | None:
        """Make an attempt and return its record.

        Returns None if nothing was sent: the attempt was cancelled before, or the job's lease has run out. Returns
        `NotAttempted` if this process lacked a resource. In both cases there is no decision and no span.
        """
        claim = attempt.claim
        target: DeliveryTarget | NoTarget | None = None
        span: AttemptSpan = Unattended(claim.trace)
        outcome: Counted | InterruptedAttempt
        ours = False
        began = perf_counter()
        try:
            target = self._targets.known_target(claim) or await self._load_target(claim)
            span = attempt_span(self._traces, claim, target)
            span.enter()
            began = perf_counter()
            if isinstance(target, NoTarget):
                # A deleted integration has no type here. Then the missing target is not a fault of ours.
                outcome, ours = Unreachable(target.reason, target.detail), bool(target.integration_type)
            elif claim.event is None:
                outcome = Unreachable("the event is no longer in the ledger")
            else:
                delivery = delivery_of(
                    claim.event,
                    target.ref,
                    target.configuration,
                    claim.job_id,
                    claim.attempt,
                    claim.epoch,
                    span.trace,
                    target.timeout,
                    target.signing_keys,
                )
                attempt.timeout = target.timeout
                if not self._may_send(claim):
                    metrics.FENCED.inc()
                    return None
                attempt.started = began
                found = _checked(await target.deliverer.deliver(delivery))
                if isinstance(found, NotAttempted):
                    return found
                outcome = found
        except asyncio.CancelledError:
            if attempt.started is None:
                return None
            outcome = InterruptedAttempt()
            if attempt.overdue:
                outcome, ours = _overdue(attempt.timeout or self._timeout), True
        except Exception as error:  # noqa: BLE001  (a plug-in may raise anything)
            if lack := exhausted(error):
                return lack
            # A deliverer returns expected failures, so this is a bug of the deliverer. It counts as an attempt.
            _log.error(
                "deliverer failed", job=claim.job_id, attempt=claim.attempt, exception=_traceback_of(error, target)
            )
            outcome, ours = _broken(error), True
        decision = self._decide(claim, outcome, target)
        kind = target.integration_type if target else ""
        elapsed = perf_counter() - began
        made = Attempt(claim, kind, outcome, decision, elapsed, began, ours, celery_task(), span.trace)
        span.end(made)
        return made

    async def lost(self, claim: Claim) -> Attempt:
        """Return the record of an attempt that was lost because its process died."""
        try:
            policy = self._policy_of(self._targets.known_target(claim) or await self._load_target(claim))
            decision = policy.after_loss(claim.attempt - claim.base, claim.lost + 1, self._random())
        except asyncio.CancelledError:
            # This process ends too. Without the integration's own schedule, the job must not end here.
            decision = Retry(0.0)
        span = attempt_span(self._traces, claim, None)
        made = Attempt(claim, "", LostAttempt(), decision, 0.0, ours=True, trace=span.trace)
        span.end(made)
        return made

    def is_overdue(self, attempt: InFlightAttempt) -> bool:
        """Return whether the attempt's deliverer has missed its deadline by more than DEADLINE_GRACE_SECONDS."""
        if attempt.task is None or attempt.task.done() or not attempt.started:
            return False
        return attempt.started < perf_counter() - (attempt.timeout or self._timeout) - DEADLINE_GRACE_SECONDS

    def _decide(
        self, claim: Claim, outcome: Counted | InterruptedAttempt, target: DeliveryTarget | NoTarget | None
    ) -> Decision:
        if isinstance(outcome, InterruptedAttempt):
            return Retry(0.0)
        if claim.event is None:
            return Fail("event_gone")
        return self._policy_of(target).decide(outcome, claim.attempt - claim.base, self._random())

    def _policy_of(self, target: DeliveryTarget | NoTarget | None) -> RetryPolicy:
        """Return the retry policy of a target, whose integration may have a schedule of its own."""
        if target is None or target.retry_schedule is None:
            return self._policy
        return replace(self._policy, schedule=target.retry_schedule)

    async def _load_target(self, claim: Claim) -> DeliveryTarget | NoTarget:
        while True:
            try:
                return await self._targets.load_target(claim)
            except LedgerError:
                await asyncio.sleep(LEDGER_RETRY_SECONDS)


def _checked(outcome: object) -> Outcome:
    """Return a plug-in's outcome if it is valid. Raises TypeError or ValueError if it is not."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"the deliverer must return an Outcome, not {type(outcome).__name__}")
    # A metric has the resource as a label, and a plug-in must not add values to it.
    if isinstance(outcome, NotAttempted) and not isinstance(outcome.resource, Resource):
        raise TypeError(f"the resource of NotAttempted must be a Resource, not {type(outcome.resource).__name__}")
    # isnan() raises TypeError for anything but a number, such as the text of a header.
    if isinstance(outcome, Refused) and outcome.retry_after is not None and isnan(outcome.retry_after):
        raise ValueError("retry_after of Refused is NaN; seconds were expected")
    return outcome


def _broken(error: Exception) -> Unreachable:
    """Return the outcome of an attempt whose deliverer raised, without the error's text: it may contain a secret."""
    return Unreachable("internal error of the deliverer", type(error).__name__)


def _traceback_of(error: Exception, target: DeliveryTarget | NoTarget | None) -> str:
    """Return the traceback of a deliverer's bug for our own log, without the secrets of its configuration."""
    if isinstance(target, DeliveryTarget):
        return safe_traceback(error, target.configuration)
    return "".join(format_exception(error)).rstrip()


def _overdue(timeout: float) -> Unreachable:
    """Return the outcome of an attempt whose deliverer was cancelled long after `timeout` (seconds)."""
    return Unreachable(f"the deliverer did not keep its deadline of {timeout:g} s")
