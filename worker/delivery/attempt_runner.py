"""One attempt, from a claim to its outcome: find the target, deliver, and decide what follows."""

import asyncio
from collections.abc import Callable
from math import isnan
from time import perf_counter
from traceback import format_exception
from typing import Protocol

import structlog

from deliverers.contract import Counted, Delivery, NotAttempted, Outcome, Refused, Resource, Unreachable
from deliverers.exhaustion import exhausted
from deliverers.redaction import safe_traceback
from worker.delivery.in_flight import InFlightAttempt
from worker.delivery.settler import LEDGER_RETRY_SECONDS
from worker.domain.attempt import Attempt, InterruptedAttempt, LostAttempt
from worker.domain.claim import Claim
from worker.domain.delivery_target import DeliveryTarget, NoTarget
from worker.domain.retry_policy import Decision, Fail, Retry, RetryPolicy
from worker.domain.trace_context import TraceContext
from worker.ledger import LedgerError
from worker.telemetry.task_context import celery_task
from worker.telemetry.tracing import Unattended, attempt_span
from worker.telemetry.tracing.traces import AttemptSpan, Traces

_log = structlog.get_logger("edw.delivery")

#: A deliverer that holds on to an attempt for its deadline and this many seconds more is cut off.
DEADLINE_GRACE_SECONDS = 5.0


class TargetLookup(Protocol):
    """Finds where a claimed job is delivered."""

    def known_target(self, claim: Claim) -> DeliveryTarget | NoTarget | None: ...
    async def load_target(self, claim: Claim) -> DeliveryTarget | NoTarget: ...


class AttemptRunner:
    """Makes attempts: those of claimed jobs and test deliveries alike.

    Args:
        targets: Finds where a job is delivered.
        policy: Decides what follows an outcome.
        timeout: What a deliverer has for one attempt (seconds).
        random: Returns a number from 0 to 1, for jitter.
        traces: Traces attempts; None traces nothing.
    """

    def __init__(
        self,
        targets: TargetLookup,
        policy: RetryPolicy,
        timeout: float,
        random: Callable[[], float],
        traces: Traces | None,
    ) -> None:
        self._targets = targets
        self._policy = policy
        self._timeout = timeout
        self._random = random
        self._traces = traces

    async def run(self, attempt: InFlightAttempt) -> Attempt | NotAttempted | None:
        """Make an attempt and return its record; None where it was cancelled before anything was sent.

        `NotAttempted` where this process lacked a resource: then nothing is decided, and no span is left.
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
                # Of an integration that was deleted meanwhile, nobody knows the type, and nobody is to blame.
                outcome, ours = Unreachable(target.reason, target.detail), bool(target.integration_type)
            elif claim.event is None:
                outcome = Unreachable("the event is no longer in the ledger")
            else:
                attempt.started = began
                found = _checked(await target.deliverer.deliver(_delivery_of(claim, target, span.trace)))
                if isinstance(found, NotAttempted):
                    return found
                outcome = found
        except asyncio.CancelledError:
            if attempt.started is None:
                return None
            outcome = InterruptedAttempt()
            if attempt.overdue:
                outcome, ours = _overdue(self._timeout), True
        except Exception as error:  # noqa: BLE001  (a plug-in may raise anything)
            if lack := exhausted(error):
                return lack
            # Expected failures are returned, so this is a bug of a deliverer: ours to mend, and still an attempt.
            _log.error(
                "deliverer failed", job=claim.job_id, attempt=claim.attempt, exception=_traceback_of(error, target)
            )
            outcome, ours = _broken(error), True
        decision = self._decide(claim, outcome)
        kind = target.integration_type if target else ""
        elapsed = perf_counter() - began
        made = Attempt(claim, kind, outcome, decision, elapsed, began, ours, celery_task(), span.trace)
        span.end(made)
        return made

    def lost(self, claim: Claim) -> Attempt:
        """Return the record of an attempt that was lost with another process."""
        decision = self._policy.after_loss(claim.attempt - claim.base, claim.lost + 1, self._random())
        span = attempt_span(self._traces, claim, None)
        made = Attempt(claim, "", LostAttempt(), decision, 0.0, ours=True, trace=span.trace)
        span.end(made)
        return made

    def is_overdue(self, attempt: InFlightAttempt) -> bool:
        """Return whether its deliverer is long past its own deadline."""
        if attempt.task is None or attempt.task.done() or not attempt.started:
            return False
        return attempt.started < perf_counter() - self._timeout - DEADLINE_GRACE_SECONDS

    def _decide(self, claim: Claim, outcome: Counted | InterruptedAttempt) -> Decision:
        if isinstance(outcome, InterruptedAttempt):
            return Retry(0.0)
        if claim.event is None:
            return Fail("event_gone")
        return self._policy.decide(outcome, claim.attempt - claim.base, self._random())

    async def _load_target(self, claim: Claim) -> DeliveryTarget | NoTarget:
        while True:
            try:
                return await self._targets.load_target(claim)
            except LedgerError:
                await asyncio.sleep(LEDGER_RETRY_SECONDS)


def _checked(outcome: object) -> Outcome:
    """What a plug-in returned, where it is an outcome. Raises TypeError or ValueError where it is not."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"an Outcome was expected of the deliverer, not {type(outcome).__name__}")
    # A metric counts them by it: a plug-in adds no series.
    if isinstance(outcome, NotAttempted) and not isinstance(outcome.resource, Resource):
        raise TypeError(f"a Resource was expected of NotAttempted, not {type(outcome.resource).__name__}")
    # isnan() raises TypeError for what is no number, such as a header that was not read.
    if isinstance(outcome, Refused) and outcome.retry_after is not None and isnan(outcome.retry_after):
        raise ValueError("a pause of NaN seconds")
    return outcome


def _broken(error: Exception) -> Unreachable:
    """What comes of an attempt in which a deliverer raised; what it said may hold a secret, and is not repeated."""
    return Unreachable("internal error of the deliverer", type(error).__name__)


def _traceback_of(error: Exception, target: DeliveryTarget | NoTarget | None) -> str:
    """Return the traceback of a deliverer's bug for our own log, without the secrets that the deliverer was given."""
    if isinstance(target, DeliveryTarget):
        return safe_traceback(error, target.configuration)
    return "".join(format_exception(error)).rstrip()


def _overdue(timeout: float) -> Unreachable:
    """What comes of an attempt whose deliverer had to be cut off, long after `timeout` (seconds)."""
    return Unreachable(f"the deliverer did not keep its deadline of {timeout:g} s")


def _delivery_of(claim: Claim, target: DeliveryTarget, trace: TraceContext | None = None) -> Delivery:
    """What a deliverer is given for a claim whose event is at hand; `trace` is for its receiver."""
    stored = claim.event
    assert stored is not None  # noqa: S101  (the caller looked)
    event = stored.event
    return Delivery(
        job_id=claim.job_id,
        attempt=claim.attempt,
        epoch=claim.epoch,
        event_id=event.id,
        triggered_by=event.type,
        data=event.data,
        included=event.included,
        store_id=event.scope.store_id,
        org_id=event.scope.org_id,
        time=stored.time,
        source=event.source,
        integration=target.ref,
        configuration=target.configuration,
        trace=trace.headers if trace else {},
    )
