"""What producers import: events into the ledger, answered only when it has them.

    with Publisher() as publisher:
        publisher.publish({"type": "order.paid", "store_id": "…", "data": {"type": "order", "id": "…"}})

A broker that is down, slow or frozen delays no answer: the wake-up for the workers goes out by a thread of its own,
and is not needed for the delivery. Where the process traces with OpenTelemetry, a publish is a span of its own.
"""

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from celery import Celery

from config.celery import celery_options
from config.observable_events import load_catalogue
from config.settings import Settings, load_settings
from worker.domain.event import Event, Ingress, Refusal
from worker.domain.event_parser import EventRules, parse_event
from worker.event_loop.pacing import paced
from worker.intake.accept import AcceptService
from worker.intake.wakeup_sender import WakeupSender
from worker.intake.wakeups import Wakeups
from worker.ledger import Acceptance, Ledger, LedgerPolicy
from worker.ledger.connection.endpoints import find_endpoints
from worker.ledger.connection.permissions import PUBLISHER
from worker.ledger.connection.sync_redis_client import SyncRedisClient
from worker.ledger.events.inbox import SyncInbox
from worker.telemetry.ledger_calls import LedgerCallMetrics
from worker.telemetry.tracing import traces_of_process

EventLike = bytes | Mapping[str, Any]


class EventRefused(ValueError):
    """An event is not what an event must be; nothing was written. `refusal` names the field and the reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Receipt:
    """The ledger has the event."""

    id: str
    #: The id was known already, and nothing happens twice.
    duplicate: bool = False
    #: The id was known with other content; the first one stays.
    differs: bool = False


class Publisher:
    """Publishes events; one for a process, from any thread (the asynchronous calls from one loop).

    Every call raises a LedgerError where the events were not accepted: LedgerFull above the memory's high-water mark,
    LedgerUnavailable where Redis does not answer, LedgerForbidden where it refuses this user or a command. Then
    offering the same events with the same ids again is safe, and nothing happens twice.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings = settings or load_settings()
        self._endpoints = find_endpoints(settings)
        self._policy = LedgerPolicy.of(settings)
        self._rules = EventRules(load_catalogue(settings.observable_keys), settings.event_max_bytes)
        app = Celery("edw-publisher", set_as_current=False)
        app.conf.update(celery_options(settings, self._endpoints.broker_url))
        self._wakeups = Wakeups(WakeupSender(app, settings.shard))
        self._service = AcceptService(traces_of_process, self._wakeups.events)
        self._sync: SyncRedisClient | None = None
        self._ledger: Ledger | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = threading.Lock()

    def publish(self, event: EventLike) -> Receipt:
        """Publishes one event: its JSON, or a mapping. Raises EventRefused where it is not acceptable."""
        return _only(self.publish_many([event]))

    def publish_many(self, events: Iterable[EventLike]) -> list[Receipt | Refusal]:
        """Publishes many at once; answers for each, in order: a Receipt, or why it was refused. The good ones go."""
        parsed = [parse_event(event, self._rules) for event in _several(events)]
        good = [each for each in parsed if isinstance(each, Event)]
        answers = self._service.accept_sync(Ingress.PUBLISHER, good, self._inbox().accept).answers if good else None
        return self._receipts(parsed, answers or ())

    async def apublish(self, event: EventLike) -> Receipt:
        """publish(), on the running loop."""
        return _only(await self.apublish_many([event]))

    async def apublish_many(self, events: Iterable[EventLike]) -> list[Receipt | Refusal]:
        """publish_many(), on the running loop."""
        parsed = [parse_event(event, self._rules) async for event in paced(_several(events))]
        good = [each for each in parsed if isinstance(each, Event)]
        ledger = await self._ledger_of_this_loop()
        answers = (await self._service.accept(Ingress.PUBLISHER, good, ledger.inbox.accept)).answers if good else None
        return self._receipts(parsed, answers or ())

    def close(self) -> None:
        """Lets the last wake-ups go out, for a second at most, and closes the connections."""
        self._wakeups.close()
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        """close(), for a publisher that was used on a loop."""
        if self._ledger is not None and self._loop is asyncio.get_running_loop():
            await self._ledger.close()
            self._ledger = None
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ledger_of_this_loop(self) -> Ledger:
        # Connections belong to their loop, and a program may run one after the other: asyncio.run(), again and again.
        loop = asyncio.get_running_loop()
        if self._ledger is None or self._loop is not loop:
            ledger = Ledger(self._endpoints.ledger_url, self._policy, self._settings.shard, LedgerCallMetrics())
            await ledger.open(PUBLISHER)
            if self._ledger is not None and self._loop is loop:
                # Another call of this loop was quicker.
                await ledger.close()
            else:
                self._ledger, self._loop = ledger, loop
        return self._ledger

    def _inbox(self) -> SyncInbox:
        with self._opening:
            if self._sync is None:
                sync = SyncRedisClient(self._endpoints.ledger_url, self._settings.shard, self._policy)
                sync.open()
                self._sync = sync
            return SyncInbox(self._sync)

    def _receipts(self, parsed: Sequence[Event | Refusal], answers: Sequence[Acceptance]) -> list[Receipt | Refusal]:
        self._service.refuse(Ingress.PUBLISHER, len(parsed) - len(answers))
        each_answer = iter(answers)
        return [each if isinstance(each, Refusal) else _receipt(each, next(each_answer)) for each in parsed]


def _several(events: Iterable[EventLike]) -> Sequence[EventLike]:
    if isinstance(events, Mapping | bytes | str):
        raise TypeError("expected several events; publish() takes one")
    return events if isinstance(events, Sequence) else list(events)


def _receipt(event: Event, answer: Acceptance) -> Receipt:
    return Receipt(event.id, duplicate=answer is not Acceptance.NEW, differs=answer is Acceptance.DIFFERS)


def _only(answers: Sequence[Receipt | Refusal]) -> Receipt:
    (answer,) = answers
    if isinstance(answer, Refusal):
        raise EventRefused(answer)
    return answer
