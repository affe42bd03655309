"""Whole events in Celery messages: valid ones are accepted, the others are kept in the list of rejected events."""

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
from worker.intake.message_parser import Parsed, entry_of, event_id, log_refusal, needs_newer, split, traced
from worker.ledger import Acceptance, Ledger, LedgerError
from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.intake")

_Answer = TypeVar("_Answer")

#: Seconds between tries while the ledger is away or full. The message stays unacknowledged.
RETRY_SECONDS = 1.0


class IntakeClosed(Exception):
    """This process stops before the ledger has accepted the message's events. The broker still has the message."""


class LeftToNewer(Exception):
    """The message has an event that needs a newer build; nothing of it was accepted."""


class CeleryIntake:
    """Accepts the events of the broker's messages."""

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
        """Accept and observe events; return when the ledger has them, even if it is away or full for long.

        Raises LeftToNewer if an event needs a newer build.

        `again`: the broker delivered the message before, and that worker did not finish it. A message that comes back
        for ever kills each worker that takes it; this method rejects it. `trace` is the message's trace context.
        """
        source = f"task {task_id}"
        if again and await self._times_back(task_id) > DELIVERY_LIMIT:
            return await self.reject(Refusal("message", f"came back {DELIVERY_LIMIT} times unfinished"), given, source)
        parsed: list[Parsed] = []
        async for each in paced(given):
            parsed.append((parse_event(each, self._rules, event_id(task_id, len(parsed))), each))
        if needs_newer(split(parsed)[1]):
            raise LeftToNewer
        return await self.observe(await self.keep(traced(parsed, trace), source, Ingress.CELERY))

    async def keep(self, parsed: Sequence[Parsed], source: str, ingress: Ingress) -> list[str]:
        """Accept the events and store the refusals, however long the ledger takes; return the events' references.

        Raises IntakeClosed if this process stops first.
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
        """Store a refused message in the ledger's rejected list, and log it."""
        await self.keep([(refusal, given)], source, Ingress.CELERY)

    async def observe(self, refs: Sequence[str]) -> None:
        """Open the jobs of accepted events; a large fan-out may go on afterwards."""
        if refs:
            await self._observer.begin(refs)

    async def pause(self) -> None:
        """Wait before a message is left to a newer worker. Raises IntakeClosed if this process stops first."""
        if await self._closed_within(RETRY_SECONDS):
            raise IntakeClosed

    def close(self) -> None:
        """End every wait for the ledger; the broker gets those messages back."""
        self._closing.set()

    async def _accept(self, ingress: Ingress, events: Sequence[Event]) -> Sequence[Acceptance]:
        return await self._until_done(partial(self._ledger.inbox.accept, events, ingress))

    async def _times_back(self, task_id: str) -> int:
        # The count goes up before any code reads the message's content, which may be what kills the worker.
        return await self._until_done(partial(self._ledger.inbox.came_back, task_id))

    async def _until_done(self, step: Callable[[], Awaitable[_Answer]]) -> _Answer:
        while True:
            try:
                return await step()
            except LedgerError as error:
                await self._wait(error)

    async def _wait(self, error: LedgerError) -> None:
        """Wait before the next try. Raises IntakeClosed if this process stops first."""
        _log.warning("waiting for the ledger", why=str(error))
        if await self._closed_within(RETRY_SECONDS):
            raise IntakeClosed

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False
