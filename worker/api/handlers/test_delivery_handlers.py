"""Test deliveries: a sample event, really sent to an integration, and answered with what a log would say.

A trial is no job. Nothing is owed, nothing is tried again, and it needs no worker: the process of the API sends it, by
the same deliverers, with the same egress guard and deadline. It works for an integration that is disabled too, which is
when people try.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from time import perf_counter, time
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from deliverers.contract import Delivered, Outcome, Unreachable
from worker.api.api_errors import invalid, retry_later
from worker.api.request_context import DOCUMENT_BYTES, Reply, RequestContext
from worker.api.schemas import Single
from worker.delivery.attempt import Attempt
from worker.delivery.attempt_runner import DEADLINE_GRACE_SECONDS, broken, checked, delivery_of, overdue
from worker.delivery.integration_cache import DeliveryTarget, IntegrationCache, NoTarget
from worker.domain.event import Event, Refusal
from worker.domain.event_parser import parse_event
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.domain.resources import log_document
from worker.domain.retry_policy import Fail, Succeed
from worker.domain.sample_event import sample_resource
from worker.ledger import Claim, StoredEvent

_log = structlog.get_logger("edw.api")

#: Trials under way at once: of one integration, of one store or organisation, and of this process.
OF_ONE = 1
OF_SCOPE = 5
AT_ONCE = 20


class SampleDelivery:
    """Sends sample events; `timeout` in seconds."""

    def __init__(self, directory: IntegrationCache, timeout: float) -> None:
        self._directory = directory
        self._timeout = timeout
        self._under_way: Counter[str] = Counter()
        self._of_scope: Counter[str] = Counter()

    async def run(self, integration: Integration, event: Event) -> IntegrationLog:
        """Makes one attempt. Raises ApiError (429) while another one, or too many, are under way."""
        if self._under_way[integration.id] >= OF_ONE:
            raise retry_later(429, "a test of this integration is under way")
        scope = integration.scope.key
        if self._of_scope[scope] >= OF_SCOPE:
            raise retry_later(429, f"{OF_SCOPE} tests are under way, as many as one store makes at once")
        if self._under_way.total() >= AT_ONCE:
            raise retry_later(429, f"{AT_ONCE} tests are under way, as many as this process makes at once")
        self._under_way[integration.id] += 1
        self._of_scope[scope] += 1
        try:
            return await self._run(integration, event)
        finally:
            self._under_way -= Counter([integration.id])
            self._of_scope -= Counter([scope])

    async def _run(self, integration: Integration, event: Event) -> IntegrationLog:
        now = round(time() * 1000)
        claim = Claim(
            job_id=str(uuid4()),
            integration_id=integration.id,
            revision=integration.revision,
            scope_key=integration.scope.key,
            event_ref=event.ref,
            attempt=1,
            event=StoredEvent(event.ref, event, now),
        )
        began = perf_counter()
        outcome = await self._outcome(claim, self._directory.target(integration))
        decision = Succeed() if isinstance(outcome, Delivered) else Fail("test")
        attempt = Attempt(claim, integration.integration_type, outcome, decision, perf_counter() - began)
        _log.info(
            "test delivery",
            integration=integration.id,
            integration_type=integration.integration_type,
            outcome=type(outcome).__name__.lower(),
            status=attempt.status,
            reason=attempt.reason or None,
            detail=attempt.detail or None,
            duration=round(attempt.elapsed, 6),
        )
        return attempt.log(created_at=now)

    async def _outcome(self, claim: Claim, target: DeliveryTarget | NoTarget) -> Outcome:
        if isinstance(target, NoTarget):
            return Unreachable(target.reason, target.detail)
        try:
            async with asyncio.timeout(self._timeout + DEADLINE_GRACE_SECONDS):
                return checked(await target.deliverer.deliver(delivery_of(claim, target, claim.trace)))
        except TimeoutError:
            return overdue(self._timeout)
        except Exception as error:  # noqa: BLE001  (a plug-in may raise anything)
            _log.exception("deliverer failed", integration=claim.integration_id)
            return broken(error)


async def deliver_test(call: RequestContext) -> Reply:
    """Sends a sample event now; the answer is the log, whatever came of it."""
    integration = await call.integration()
    most = call.rooms.rules.max_bytes + DOCUMENT_BYTES
    given = await call.options("the type and the data of a sample event", most)
    key = _or(given.get("type"), integration.observes[0])
    sample = {"type": key, "data": _or(given.get("data"), sample_resource(str(key)))}
    if given.get("included") is not None:
        sample["included"] = given["included"]
    parsed = parse_event(msgspec.json.encode(sample), call.rooms.rules, scope=integration.scope)
    if isinstance(parsed, Refusal):
        raise invalid([parsed])
    event = replace(parsed, trace=call.trace)
    return Reply(Single(log_document(await call.rooms.trials.run(integration, event))))


def _or(given: Any, sample: Any) -> Any:
    """What was given, whatever it is: only what was left out is made up."""
    return sample if given is None else given
