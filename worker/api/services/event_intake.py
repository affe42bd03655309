"""Events on their way from requests into the ledger: held back under pressure, and written many at a time."""

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

#: The pressure is looked at once in so many seconds.
SAMPLE_SECONDS = 1.0
#: Whoever is refused because the fleet cannot keep up comes again after so many seconds.
PRESSURE_RETRY_SECONDS = 5.0
#: Events that share a round trip; more than a script takes at once would not make it quicker.
GATHERED_MOST = 200


class EventInbox(Protocol):
    """What is asked of the ledger's inbox."""

    async def accept(self, events: Sequence[Event], ingress: Ingress) -> list[Acceptance]: ...
    async def admit(self, scope: Scope, events: int, rate: int) -> float: ...
    async def pressure(self) -> Pressure: ...


class EventIntake:
    """Accepts events of many requests. `announce` is told the references of those that are new."""

    def __init__(self, inbox: EventInbox, settings: Settings, announce: Announce, traces: Traces | None = None) -> None:
        self._inbox = inbox
        self._settings = settings
        self._service = AcceptService(lambda: traces, announce)
        self._gathering = AcceptBatcher(partial(inbox.accept, ingress=Ingress.HTTP))
        self._sampled_at = -SAMPLE_SECONDS
        self._refusal = ""
        self._sampling = asyncio.Lock()

    async def check_pressure(self) -> None:
        """Raises ApiError (503) while the fleet cannot keep up, or the ledger takes no events.

        What is owed to receivers does not count: a dead receiver's backlog refuses nobody's events.
        """
        async with self._sampling:
            if monotonic() - self._sampled_at >= SAMPLE_SECONDS:
                refusal = await self._look()
                if refusal and not self._refusal:
                    _log.warning("events refused", why=refusal)
                elif self._refusal and not refusal:
                    _log.info("events accepted again")
                self._refusal, self._sampled_at = refusal, monotonic()
        if self._refusal:
            metrics.observe_refused(Ingress.HTTP, metrics.RefusalReason.PRESSURE)
            raise retry_later(503, self._refusal, PRESSURE_RETRY_SECONDS)

    async def held_back(self, events: Sequence[Event]) -> Mapping[Scope, float]:
        """The scopes that have used up their allowance of events, and in how many seconds they have some again."""
        rate = self._settings.store_intake_limit
        if not rate:
            return {}
        counts = Counter(event.scope for event in events)
        waits = {scope: await self._inbox.admit(scope, count, rate) for scope, count in counts.items()}
        return {scope: wait for scope, wait in waits.items() if wait}

    async def accept(self, events: Sequence[Event]) -> Sequence[Acceptance]:
        """Puts events into the inbox; answers once the ledger has them. Raises LedgerError."""
        if not events:
            return []
        return (await self._service.accept(Ingress.HTTP, events, self._gathering.accept)).answers or ()

    async def _look(self) -> str:
        settings = self._settings
        try:
            pressure = await self._inbox.pressure()
        except LedgerError as error:
            # Of one that does not answer too: else each of those who wait here would wait as long again, in turn.
            if not self._refusal:
                _log.warning("ledger away", why=str(error))
            return error.public
        if pressure.inbox > settings.inbox_limit:
            return f"{pressure.inbox:,} events wait to be observed, and at most {settings.inbox_limit:,} may"
        if pressure.age > settings.inbox_max_age:
            return (
                f"events have waited for {pressure.age:.0f} s to be observed, and {settings.inbox_max_age:g} s are "
                "the most: is a worker running?"
            )
        return ""


class AcceptBatcher:
    """Requests that come while the ledger writes for others are written together, by the next call."""

    def __init__(self, accept: Callable[[Sequence[Event]], Awaitable[list[Acceptance]]]) -> None:
        self._accept = accept
        self._waiting: list[tuple[Sequence[Event], asyncio.Future[list[Acceptance]]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def accept(self, events: Sequence[Event]) -> list[Acceptance]:
        """As the ledger's own; raises what that raises."""
        answer: asyncio.Future[list[Acceptance]] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, answer))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        # A caller that goes away takes nothing back: its events may be on their way.
        return await answer

    async def _write(self) -> None:
        while self._waiting:
            batch = self._next()
            events = [event for group, _ in batch for event in group]
            try:
                answers = iter(await self._accept(events))
            except Exception as error:  # noqa: BLE001  (every caller is told, whatever it is)
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for group, answer in batch:
                own = [next(answers) for _ in group]
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
