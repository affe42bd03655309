"""One attempt, from a claim to what came of it: finds the target, has its deliverer deliver, decides what follows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from time import perf_counter
from typing import Protocol

import structlog

from deliverers.contract import Delivery, Outcome, Refused, Unreachable
from worker.delivery.attempt import Attempt, InterruptedAttempt, LostAttempt
from worker.delivery.integration_cache import DeliveryTarget, NoTarget
from worker.delivery.settler import LEDGER_RETRY_SECONDS
from worker.domain.retry_policy import Decision, Fail, Retry, RetryPolicy
from worker.domain.trace_context import TraceContext
from worker.ledger import Claim, LedgerError
from worker.telemetry.task_context import celery_task
from worker.telemetry.tracing import AttemptSpan, Traces, Unattended, attempt_span

_log = structlog.get_logger("edw.delivery")

#: A deliverer that holds on to an attempt for its deadline and this many seconds more is cut off.
DEADLINE_GRACE_SECONDS = 5.0


class TargetLookup(Protocol):
    """What is asked of the directory."""

    def known_target(self, claim: Claim) -> DeliveryTarget | NoTarget | None: ...
    async def load_target(self, claim: Claim) -> DeliveryTarget | NoTarget: ...


@dataclass(slots=True)
class InFlightAttempt:
    """An attempt under way."""

    claim: Claim
    #: None until the deliverer has it: until then, nothing has left the house.
    started: float | None = None
    task: "asyncio.Task[None] | None" = None
    overdue: bool = False


class AttemptRunner:
    """Carries out attempts; `timeout` is what a deliverer has for one (seconds), `random` what jitter is made of."""

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

    async def carry_out(self, flight: InFlightAttempt) -> Attempt | None:
        """What came of it, whatever that is; None where it was cancelled before anything had left the house."""
        claim = flight.claim
        target: DeliveryTarget | NoTarget | None = None
        span: AttemptSpan = Unattended(claim.trace)
        outcome: Outcome | InterruptedAttempt
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
                flight.started = began
                outcome = checked(await target.deliverer.deliver(delivery_of(claim, target, span.trace)))
        except asyncio.CancelledError:
            if flight.started is None:
                return None
            outcome = InterruptedAttempt()
            if flight.overdue:
                outcome, ours = overdue(self._timeout), True
        except Exception as error:  # noqa: BLE001  (a plug-in may raise anything)
            # Expected failures are returned, so this is a bug of a deliverer: ours to mend, and still an attempt.
            _log.exception("deliverer failed", job=claim.job_id, attempt=claim.attempt)
            outcome, ours = broken(error), True
        decision = self._decide(claim, outcome)
        kind = target.integration_type if target else ""
        elapsed = perf_counter() - began
        attempt = Attempt(claim, kind, outcome, decision, elapsed, began, ours, celery_task(), span.trace)
        span.end(attempt)
        return attempt

    def lose(self, claim: Claim) -> Attempt:
        """What came of one that died with another process."""
        decision = self._policy.after_loss(claim.attempt - claim.base, claim.lost + 1, self._random())
        span = attempt_span(self._traces, claim, None)
        attempt = Attempt(claim, "", LostAttempt(), decision, 0.0, ours=True, trace=span.trace)
        span.end(attempt)
        return attempt

    def is_overdue(self, flight: InFlightAttempt) -> bool:
        """True where its deliverer has not kept its own deadline, by far."""
        if flight.task is None or flight.task.done() or not flight.started:
            return False
        return flight.started < perf_counter() - self._timeout - DEADLINE_GRACE_SECONDS

    def _decide(self, claim: Claim, outcome: Outcome | InterruptedAttempt) -> Decision:
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


def checked(outcome: object) -> Outcome:
    """What a plug-in returned, where it is an outcome. Raises TypeError or ValueError where it is not."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"an Outcome was expected of the deliverer, not {type(outcome).__name__}")
    # isnan() raises TypeError for what is no number, such as a header that was not read.
    if isinstance(outcome, Refused) and outcome.retry_after is not None and isnan(outcome.retry_after):
        raise ValueError("a pause of NaN seconds")
    return outcome


def broken(error: Exception) -> Unreachable:
    """What comes of an attempt in which a deliverer raised; what it said may hold a secret, and is not repeated."""
    return Unreachable("internal error of the deliverer", type(error).__name__)


def overdue(timeout: float) -> Unreachable:
    """What comes of an attempt whose deliverer had to be cut off, long after `timeout` (seconds)."""
    return Unreachable(f"the deliverer did not keep its deadline of {timeout:g} s")


def delivery_of(claim: Claim, target: DeliveryTarget, trace: TraceContext | None = None) -> Delivery:
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
