"""Whole events in Celery messages: accepts the valid ones, and keeps the others in the list of rejected events."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from config.celery import DELIVERY_LIMIT
from worker.domain.event import Event, Ingress, Refusal
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.trace_context import TraceContext
from worker.event_loop.pacing import paced
from worker.intake.accept import AcceptService, EventObserver
from worker.intake.message_parser import Parsed, entry_of, event_id, log_refusal, split, traced
from worker.ledger import Acceptance, Ledger, LedgerError
from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.intake")

_Answer = TypeVar("_Answer")

#: While the ledger takes nothing, it is asked again after so many seconds. The message stays unacknowledged.
RETRY_SECONDS = 1.0


class IntakeClosed(Exception):
    """This process stops before the ledger has taken what came; the broker still has it."""


class CeleryIntake:
    """Takes what messages of the broker bring."""

    def __init__(
        self, ledger: Ledger, observer: EventObserver, rules: EventRules, traces: Traces | None = None
    ) -> None:
        self._ledger = ledger
        self._observer = observer
        self._rules = rules
        self._service = AcceptService(lambda: traces)
        self._closing = asyncio.Event()

    async def take(
        self, given: Sequence[Any], task_id: str, *, again: bool = False, trace: TraceContext | None = None
    ) -> None:
        """Accepts and observes events, waiting for a ledger that is away or full; returns when it has them.

        `again`: the message was delivered before, to somebody who did not finish with it. One that comes back for ever
        kills whoever takes it, and is kept with the refusals. `trace` is what the message came with.
        """
        source = f"task {task_id}"
        if again and await self._times_back(task_id) > DELIVERY_LIMIT:
            return await self.reject(Refusal("message", f"it came back {DELIVERY_LIMIT} times"), given, source)
        parsed: list[Parsed] = []
        async for each in paced(given):
            parsed.append((parse_event(each, self._rules, event_id(task_id, len(parsed))), each))
        return await self.observe(await self.keep(traced(parsed, trace), source, Ingress.CELERY))

    async def keep(self, parsed: Sequence[Parsed], source: str, ingress: Ingress) -> list[str]:
        """Has the ledger accept the events and keep the refusals, however long that takes; answers the events' refs.

        Raises IntakeClosed where this process stops first.
        """
        events, refusals = split(parsed)
        if events:
            await self._service.accept(ingress, events, partial(self._accept, ingress))
        self._service.refuse(ingress, len(refusals))
        for refusal, _ in refusals:
            log_refusal(refusal, source)
        entries = [entry_of(refusal, each, source) for refusal, each in refusals]
        for start in range(0, len(entries), MAX_IDS_PER_MESSAGE):
            await self._until_done(partial(self._ledger.inbox.reject, entries[start : start + MAX_IDS_PER_MESSAGE]))
        return [event.ref for event in events]

    async def reject(self, refusal: Refusal, given: Any, source: str) -> None:
        """Keeps what was refused in the ledger's rejected list, and says so."""
        await self.keep([(refusal, given)], source, Ingress.CELERY)

    async def observe(self, refs: Sequence[str]) -> None:
        """Opens the jobs of accepted events, now where the ledger can."""
        if not refs:
            return
        try:
            await self._observer.observe(refs)
        except LedgerError as error:
            # They are in the inbox; a sweep will see to them.
            _log.warning("observed later", events=len(refs), why=str(error))

    def close(self) -> None:
        """Whoever waits for the ledger waits no longer: the message goes back to the broker."""
        self._closing.set()

    async def _accept(self, ingress: Ingress, events: Sequence[Event]) -> Sequence[Acceptance]:
        return await self._until_done(partial(self._ledger.inbox.accept, events, ingress))

    async def _times_back(self, task_id: str) -> int:
        # Before anything looks at what is in it.
        return await self._until_done(partial(self._ledger.inbox.came_back, task_id))

    async def _until_done(self, step: Callable[[], Awaitable[_Answer]]) -> _Answer:
        while True:
            try:
                return await step()
            except LedgerError as error:
                await self._wait(error)

    async def _wait(self, error: LedgerError) -> None:
        """Raises IntakeClosed where this process stops first."""
        _log.warning("waiting for the ledger", why=str(error))
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            return
        raise IntakeClosed
