"""The way of events from requests into the ledger: refused under pressure, and written in batches."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Protocol

import structlog

from config.settings import Settings
from worker.api.api_errors import retry_later
from worker.domain.event import Event, Ingress, Scope
from worker.intake.accept import AcceptService, Announce
from worker.ledger import Acceptance, LedgerError
from worker.ledger.events.inbox import Pressure
from worker.telemetry import metrics
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.api")

#: Seconds between two checks of the pressure.
SAMPLE_SECONDS = 1.0
#: Retry-After while the fleet cannot keep up (seconds).
PRESSURE_RETRY_SECONDS = 5.0
#: Events that share a round trip at most; more than one script call takes would not be faster.
GATHERED_MOST = 200


class EventInbox(Protocol):
    """The part of the ledger's inbox that the API uses."""

    async def accept(self, events: Sequence[Event], ingress: Ingress) -> list[Acceptance]: ...
    async def admit(self, scope: Scope, events: int, rate: int) -> float: ...
    async def pressure(self) -> Pressure: ...


class EventIntake:
    """Acceptance of events from many requests; `announce` receives the references of new events."""

    def __init__(self, inbox: EventInbox, settings: Settings, announce: Announce, traces: Traces | None = None) -> None:
        self._inbox = inbox
        self._settings = settings
        self._service = AcceptService(lambda: traces, announce)
        self._gathering = AcceptBatcher(partial(inbox.accept, ingress=Ingress.HTTP))
        self._sampled_at = -SAMPLE_SECONDS
        self._refusal = ""
        self._sampling = asyncio.Lock()

    async def check_pressure(self) -> None:
        """Refuse events while the fleet cannot keep up or the ledger accepts none. Raises ApiError (503).

        Backlogs do not count: one dead receiver must not stop the acceptance of events.
        """
        if monotonic() - self._sampled_at >= SAMPLE_SECONDS:
            await self._sample()
        if self._refusal:
            metrics.observe_refused(Ingress.HTTP, metrics.RefusalReason.PRESSURE)
            raise retry_later(503, self._refusal, PRESSURE_RETRY_SECONDS)

    async def _sample(self) -> None:
        async with self._sampling:
            if monotonic() - self._sampled_at >= SAMPLE_SECONDS:
                refusal = await self._look()
                if refusal and not self._refusal:
                    _log.warning("events refused", why=refusal)
                elif self._refusal and not refusal:
                    _log.info("events accepted again")
                self._refusal, self._sampled_at = refusal, monotonic()

    async def held_back(self, events: Sequence[Event]) -> Mapping[Scope, float]:
        """Return the scopes that have used up their allowance of events, with the seconds until each has more."""
        rate = self._settings.store_intake_limit
        if not rate:
            return {}
        counts = Counter(event.scope for event in events)
        waits = {scope: await self._inbox.admit(scope, count, rate) for scope, count in counts.items()}
        return {scope: wait for scope, wait in waits.items() if wait}

    async def accept(self, events: Sequence[Event]) -> Sequence[Acceptance]:
        """Put events into the inbox; return once the ledger has them. Raises LedgerError."""
        if not events:
            return []
        return (await self._service.accept(Ingress.HTTP, events, self._gathering.accept)).answers or ()

    async def _look(self) -> str:
        settings = self._settings
        try:
            pressure = await self._inbox.pressure()
        except LedgerError as error:
            # Also refuse when the ledger is silent; otherwise each waiting request would in turn wait for a timeout.
            if not self._refusal:
                _log.warning("ledger away", why=str(error))
            return error.public
        if pressure.inbox > settings.inbox_limit:
            return f"{pressure.inbox:,} events wait to be observed; the limit is {settings.inbox_limit:,}"
        if pressure.age > settings.inbox_max_age:
            return (
                f"events have waited for {pressure.age:.0f} s to be observed; the limit is "
                f"{settings.inbox_max_age:g} s: is a worker running?"
            )
        return ""


class AcceptBatcher:
    """Batching of requests: those that arrive during a call to the ledger share the next call."""

    def __init__(self, accept: Callable[[Sequence[Event]], Awaitable[list[Acceptance]]]) -> None:
        self._accept = accept
        self._waiting: list[tuple[Sequence[Event], asyncio.Future[list[Acceptance]]]] = []
        self._is_writing = False
        #: A task that nobody holds may be collected before it is done.
        self._writing: asyncio.Task[None] | None = None

    async def accept(self, events: Sequence[Event]) -> list[Acceptance]:
        """Accept events like the ledger's own `accept`, with the same errors.

        If the caller disconnects, its events may be accepted nevertheless: they may already be on their way.
        """
        if self._is_writing:
            answer: asyncio.Future[list[Acceptance]] = asyncio.get_running_loop().create_future()
            self._waiting.append((events, answer))
            return await answer
        # Nobody shares this call, so it needs no task of its own.
        self._is_writing = True
        try:
            return await self._accept(events)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        """Write what came meanwhile."""
        if self._waiting:
            self._writing = asyncio.create_task(self._write())
        else:
            self._is_writing = False

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_some()
        finally:
            self._is_writing = False

    async def _write_some(self) -> None:
        batch = self._next()
        events = [event for group, _ in batch for event in group]
        try:
            answers = await self._accept(events)
        except Exception as error:  # noqa: BLE001  (every caller gets the error)
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        start = 0
        for group, answer in batch:
            own, start = answers[start : start + len(group)], start + len(group)
            if not answer.done():
                answer.set_result(own)

    def _next(self) -> list[tuple[Sequence[Event], "asyncio.Future[list[Acceptance]]"]]:
        taken, count = 0, 0
        for group, _ in self._waiting:
            if taken and count + len(group) > GATHERED_MOST:
                break
            taken, count = taken + 1, count + len(group)
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch
