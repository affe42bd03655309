"""The Publisher, with which Python producers write events into the ledger.

    with Publisher() as publisher:
        publisher.publish({"type": "order.paid", "store_id": "…", "data": {"type": "order", "id": "…"}})

A call returns when the ledger has its events. A broker that is down, slow or frozen does not delay it: a separate
thread sends the wake-up for the workers, and delivery does not depend on that. If the process traces with
OpenTelemetry, each publish is a span.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from config.observable_events import load_catalogue
from config.settings import Settings, load_settings
from worker.domain.event import Event, Ingress, Refusal
from worker.domain.event_parser import EventRules, parse_event
from worker.event_loop.pacing import paced
from worker.intake.accept import AcceptService
from worker.intake.wakeups import Send, Wakeups
from worker.ledger import Acceptance, LedgerPolicy
from worker.ledger.connection.endpoints import find_endpoints
from worker.ledger.connection.permissions import PUBLISHER
from worker.ledger.events.inbox import SyncInbox
from worker.telemetry.tracing import traces_of_process

# A program may import this module and never publish, so redis-py, a third of the import, waits for the first Publisher.
if TYPE_CHECKING:
    from worker.ledger import Ledger
    from worker.ledger.connection.sync_redis_client import SyncRedisClient

#: An event's JSON, or a mapping that is encoded as JSON: dates, UUIDs and decimals become strings.
EventLike = bytes | Mapping[str, Any]


class EventRefused(ValueError):
    """An invalid event, of which nothing was written.

    Args:
        refusal: The field, and the reason why it is not accepted; also an attribute.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Receipt:
    """The confirmation that the ledger has an event."""

    #: The event's id: its own, or the random UUID that an event without an id got.
    id: str
    #: The ledger already had an event of this store or organisation with this id; it is not delivered again.
    duplicate: bool = False
    #: The ledger already had this id with other content; the first content stays.
    differs: bool = False


class Publisher:
    """A client that publishes events. A process needs one.

    Any thread may call the synchronous methods; one event loop at a time may call the asynchronous ones. Close the
    publisher at the end, or use it as a context manager.

    Every publishing method raises a LedgerError (worker.ledger) if the ledger did not confirm the events:
    `LedgerUnavailable` if Redis does not answer, `LedgerFull` if its memory is above the high-water mark,
    `LedgerForbidden` if it refuses this user or a command. Some of the events may nevertheless be in the ledger.
    Publishing them again with the same ids is safe, because the ledger then reports them as duplicates. An event
    without an id gets a new random one each time, so give events ids of your own.

    Args:
        settings: The settings; by default those of the environment.

    Raises:
        SettingsError: A setting in the environment is invalid.
        NoRedisError: EDW_REDIS_URL is not set, and no embedded Redis runs on the data folder.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings = settings or load_settings()
        self._endpoints = find_endpoints(settings)
        self._policy = LedgerPolicy.of(settings)
        self._rules = EventRules(load_catalogue(settings.observable_keys), settings.event_max_bytes)
        send, self._close_sender = _sender(settings, self._endpoints.broker_url)
        self._wakeups = Wakeups(send)
        self._service = AcceptService(traces_of_process, self._wakeups.events)
        self._sync: SyncRedisClient | None = None
        self._ledger: Ledger | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = threading.Lock()

    def publish(self, event: EventLike) -> Receipt:
        """Publish one event.

        Args:
            event: The event's JSON, or a mapping.

        Returns:
            The receipt, when the ledger has the event.

        Raises:
            EventRefused: The event is invalid.
            LedgerError: The ledger did not confirm the event; publish it again with the same id.
        """
        return _only(self.publish_many([event]))

    def publish_many(self, events: Iterable[EventLike]) -> list[Receipt | Refusal]:
        """Publish several events in one call. Invalid events do not hold back the valid ones.

        Args:
            events: The events, each as JSON or as a mapping.

        Returns:
            For each event, in order, a Receipt, or a Refusal with the field and the reason.

        Raises:
            TypeError: `events` is a single event.
            LedgerError: The ledger did not confirm the events; publish them again with the same ids.
        """
        parsed = [parse_event(event, self._rules) for event in _several(events)]
        good = [each for each in parsed if isinstance(each, Event)]
        answers = self._service.accept_sync(Ingress.PUBLISHER, good, self._inbox().accept).answers if good else None
        return self._receipts(parsed, answers or ())

    async def apublish(self, event: EventLike) -> Receipt:
        """Publish one event on the running loop.

        Args:
            event: The event's JSON, or a mapping.

        Returns:
            The receipt, when the ledger has the event.

        Raises:
            EventRefused: The event is invalid.
            LedgerError: The ledger did not confirm the event; publish it again with the same id.
        """
        return _only(await self.apublish_many([event]))

    async def apublish_many(self, events: Iterable[EventLike]) -> list[Receipt | Refusal]:
        """Publish several events in one call, on the running loop. Invalid events do not hold back the valid ones.

        Args:
            events: The events, each as JSON or as a mapping.

        Returns:
            For each event, in order, a Receipt, or a Refusal with the field and the reason.

        Raises:
            TypeError: `events` is a single event.
            LedgerError: The ledger did not confirm the events; publish them again with the same ids.
        """
        parsed = [parse_event(event, self._rules) async for event in paced(_several(events))]
        good = [each for each in parsed if isinstance(each, Event)]
        ledger = await self._ledger_of_this_loop()
        answers = (await self._service.accept(Ingress.PUBLISHER, good, ledger.inbox.accept)).answers if good else None
        return self._receipts(parsed, answers or ())

    def close(self) -> None:
        """Wait at most one second for the last wake-ups to be sent, and close the connections."""
        self._wakeups.close()
        self._close_sender()
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        """Close a publisher that was used on the running loop."""
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

    async def _ledger_of_this_loop(self) -> "Ledger":
        from worker.ledger import Ledger
        from worker.telemetry.ledger_calls import LedgerCallMetrics

        # Connections belong to their loop, and a program may run several loops in turn by asyncio.run().
        loop = asyncio.get_running_loop()
        if self._ledger is None or self._loop is not loop:
            ledger = Ledger(self._endpoints.ledger_url, self._policy, self._settings.shard, LedgerCallMetrics())
            try:
                await ledger.open(PUBLISHER)
            except BaseException:
                # The next call tries again with connections of its own.
                await ledger.close()
                raise
            if self._ledger is not None and self._loop is loop:
                # Another call on this loop was faster.
                await ledger.close()
            else:
                self._ledger, self._loop = ledger, loop
        return self._ledger

    def _inbox(self) -> SyncInbox:
        from worker.ledger.connection.sync_redis_client import SyncRedisClient

        with self._opening:
            if self._sync is None:
                sync = SyncRedisClient(self._endpoints.ledger_url, self._settings.shard, self._policy)
                try:
                    sync.open()
                except BaseException:
                    sync.close()
                    raise
                self._sync = sync
            return SyncInbox(self._sync)

    def _receipts(self, parsed: Sequence[Event | Refusal], answers: Sequence[Acceptance]) -> list[Receipt | Refusal]:
        self._service.refuse(Ingress.PUBLISHER, len(parsed) - len(answers))
        each_answer = iter(answers)
        return [each if isinstance(each, Refusal) else _receipt(each, next(each_answer)) for each in parsed]


def _sender(settings: Settings, broker_url: str) -> tuple[Send, Callable[[], None]]:
    # What sends wake-ups, and what closes it.
    from worker.intake.redis_wakeups import RedisWakeupSender, speaks_redis

    if speaks_redis(broker_url):
        sender = RedisWakeupSender(broker_url, settings.shard)
        return sender, sender.close
    # Celery is imported only for a broker that needs it.
    from worker.intake.wakeup_sender import WakeupSender, client_app

    # Its connections are those of Celery's own pool.
    return WakeupSender(client_app("edw-publisher", settings, broker_url), settings.shard), lambda: None


def _several(events: Iterable[EventLike]) -> Sequence[EventLike]:
    if isinstance(events, Mapping | bytes | str):
        raise TypeError("expected several events, got a single one: use publish() for it")
    return events if isinstance(events, Sequence) else list(events)


def _receipt(event: Event, answer: Acceptance) -> Receipt:
    return Receipt(event.id, duplicate=not answer.is_new, differs=answer is Acceptance.DIFFERS)


def _only(answers: Sequence[Receipt | Refusal]) -> Receipt:
    (answer,) = answers
    if isinstance(answer, Refusal):
        raise EventRefused(answer)
    return answer
