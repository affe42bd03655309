"""Test deliveries: a sample event is really sent to an integration, and the caller gets the log of the attempt.

A test delivery is no job: it leaves no job in the ledger, is not retried, and needs no worker. The API's process makes
it with the attempt runner that workers use, so the deliverers, the egress guard and the deadline are the same. It works
for a disabled integration too, because that is when people test.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import time
from uuid import uuid4

import structlog

from deliverers.contract import NotAttempted
from worker.delivery.attempt_runner import DEADLINE_GRACE_SECONDS, AttemptRunner
from worker.delivery.in_flight import InFlightAttempt
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.attempt import Attempt
from worker.domain.claim import Claim
from worker.domain.delivery_target import DeliveryTarget, NoTarget
from worker.domain.event import Event
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.domain.retry_policy import RetryPolicy
from worker.domain.stored_event import StoredEvent
from worker.telemetry import metrics

_log = structlog.get_logger("edw.delivery")

#: The most test deliveries at once: of one integration, of one store or organisation, and of this process.
OF_ONE = 1
OF_SCOPE = 5
AT_ONCE = 20

#: A test delivery is not retried.
_ONE_ATTEMPT = RetryPolicy(())


@dataclass(frozen=True, slots=True)
class TooManySamples:
    """The refusal of a test delivery because too many are under way; `reason` says which."""

    reason: str


class SampleDelivery:
    """Makes test deliveries.

    Args:
        integrations: Finds the targets.
        timeout: The time that a deliverer has for one delivery (seconds), unless the integration has its own.
        open_deliverers: Opens the deliverers, unless they are open.
    """

    def __init__(
        self, integrations: IntegrationCache, timeout: float, open_deliverers: Callable[[], Awaitable[None]]
    ) -> None:
        self._integrations = integrations
        self._timeout = timeout
        self._open_deliverers = open_deliverers
        self._of_integration: Counter[str] = Counter()
        self._of_scope: Counter[str] = Counter()

    async def run(self, integration: Integration, event: Event) -> IntegrationLog | TooManySamples | NotAttempted:
        """Make one attempt and return its log.

        Returns TooManySamples if too many test deliveries are under way, and NotAttempted if this process lacked a
        resource.
        """
        scope = integration.scope.key
        if too_many := self._too_many(integration.id, scope):
            return TooManySamples(too_many)
        self._of_integration[integration.id] += 1
        self._of_scope[scope] += 1
        try:
            await self._open_deliverers()
            return await self._run(integration, event)
        finally:
            self._of_integration -= Counter([integration.id])
            self._of_scope -= Counter([scope])

    def _too_many(self, integration_id: str, scope: str) -> str:
        if self._of_integration[integration_id] >= OF_ONE:
            return "a test of this integration is under way"
        if self._of_scope[scope] >= OF_SCOPE:
            return f"{OF_SCOPE} tests are under way, as many as one store makes at once"
        if self._of_integration.total() >= AT_ONCE:
            return f"{AT_ONCE} tests are under way, as many as this process makes at once"
        return ""

    async def _run(self, integration: Integration, event: Event) -> IntegrationLog | NotAttempted:
        now = round(time() * 1000)
        claim = Claim(
            job_id=str(uuid4()),
            integration_id=integration.id,
            revision=integration.revision,
            scope_key=integration.scope.key,
            event_ref=event.ref,
            attempt=1,
            event=StoredEvent(event.ref, event, now, sequence=now * 1000),
        )
        target = _OneTarget(self._integrations.target(integration))
        timeout = (target.target.timeout if isinstance(target.target, DeliveryTarget) else None) or self._timeout
        # Without a retry there is no jitter.
        made = await self._attempt(AttemptRunner(target, _ONE_ATTEMPT, timeout, lambda: 0.5, None), claim, timeout)
        if isinstance(made, NotAttempted):
            metrics.observe_exhaustion(made.resource)
            _log.error("own resource exhausted", resource=made.resource.value, why=made.reason)
            return made
        _log.info(
            "test delivery",
            integration=integration.id,
            integration_type=integration.integration_type,
            outcome=made.outcome_name,
            status=made.status,
            reason=made.reason or None,
            detail=made.detail or None,
            duration=round(made.elapsed, 6),
        )
        return made.log(created_at=now)

    async def _attempt(self, runner: AttemptRunner, claim: Claim, timeout: float) -> Attempt | NotAttempted:
        """Make the attempt; cancel a deliverer that has long missed its deadline."""
        attempt = InFlightAttempt(claim)
        task = asyncio.create_task(runner.run(attempt))
        try:
            await asyncio.wait([task], timeout=timeout + DEADLINE_GRACE_SECONDS)
            attempt.overdue = not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        made = task.result()
        # It is None only for an attempt cancelled before the deliverer was called; here that call comes at once.
        assert made is not None  # noqa: S101
        return made


@dataclass(frozen=True, slots=True)
class _OneTarget:
    """A lookup that always returns the target of a test delivery."""

    target: DeliveryTarget | NoTarget

    def known_target(self, claim: Claim) -> DeliveryTarget | NoTarget | None:
        return self.target

    async def load_target(self, claim: Claim) -> DeliveryTarget | NoTarget:
        return self.target
