"""The services of a worker process: their wiring, start and stop."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.celery import is_rabbitmq
from config.observable_events import load_catalogue
from config.settings import Settings
from deliverers.contract import Deliverer
from deliverers.registry import DelivererRegistry
from worker.delivery.delivery_service import DeliveryService
from worker.delivery.dispatcher import Dispatcher
from worker.delivery.hot_observer import HotObserver
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.event_parser import EventRules
from worker.domain.retry_policy import RetryPolicy
from worker.domain.secrets_box import SecretsBox
from worker.intake.celery_messages import CeleryIntake
from worker.intake.rabbitmq_queue import RabbitMQReader
from worker.intake.redis_list import RedisListReader
from worker.intake.wakeups import Wakeups
from worker.integrations.lifecycle_events import LifecycleEvents
from worker.integrations.outbox_relay import OutboxRelay
from worker.ledger import Ledger
from worker.process.sweeper import Sweeper
from worker.telemetry import metrics
from worker.telemetry.attempt_reporter import AttemptReporter
from worker.telemetry.readiness import Presence
from worker.telemetry.redis_clock import RedisClock
from worker.telemetry.tracing.traces import Traces

if TYPE_CHECKING:
    from worker.history.archiver import Archiver

#: How long the timers may take to end the chunk that they observe when the process stops (seconds).
LAST_CHUNK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerServices:
    """The services that Celery's tasks call, and those that run on their own."""

    celery_intake: CeleryIntake
    dispatch: Dispatcher
    deliveries: DeliveryService
    hot_observer: HotObserver
    sweeper: Sweeper
    #: Readers of the plain queue, in Redis and in RabbitMQ.
    readers: Sequence[RedisListReader | RabbitMQReader]
    #: None without a history.
    archiver: "Archiver | None" = None

    def open(self) -> None:
        """Start the services on the running loop."""
        self.deliveries.open()
        self.sweeper.open()
        for reader in self.readers:
            reader.open()
        if self.archiver is not None:
            self.archiver.open()

    def stop_claiming(self) -> None:
        """Take no more jobs, events or messages; attempts in flight continue."""
        self.deliveries.stop_claiming()
        self.hot_observer.stop()
        self.dispatch.stop()
        self.celery_intake.close()
        self.stop_reading()

    def stop_reading(self) -> None:
        """Take no more messages from the plain queue."""
        for reader in self.readers:
            reader.stop()

    async def drain(self, until: float, hurry: asyncio.Event) -> int:
        """Finish the attempts in flight, then leave the fleet; the heartbeat continues until all are settled.

        Attempts are interrupted at `until` (seconds of the loop's clock), or when `hurry` is set.

        Returns the number of attempts that could not be settled.
        """
        await self.hot_observer.close()
        # A chunk that is being opened ends; cancelled in the middle, it would have to be opened again.
        await self.dispatch.wait_until_idle(LAST_CHUNK_SECONDS)
        await self.sweeper.close()
        left = max(0.0, until - asyncio.get_running_loop().time())
        await asyncio.gather(self.deliveries.drain(left, hurry), *(reader.close() for reader in self.readers))
        unsettled = self.deliveries.in_flight
        if self.archiver is not None:
            await self.archiver.close()
        await self.sweeper.retire()
        return unsettled


def wire(
    settings: Settings,
    broker_url: str,
    ledger: Ledger,
    types: DelivererRegistry,
    deliverers: Mapping[str, Deliverer],
    clock: RedisClock,
    wakeups: Wakeups,
    presence: Presence,
    traces: Traces | None,
) -> WorkerServices:
    """Wire the services, on a ledger and deliverers that are open; `presence` notes whether the ledger answers."""
    catalogue, secrets = load_catalogue(settings.observable_keys), SecretsBox(settings.secrets_keys)
    rules = EventRules(catalogue, settings.event_max_bytes)
    directory = IntegrationCache(ledger, types, deliverers, secrets, settings.webhook_timeout_max)
    deliveries = DeliveryService(
        ledger.jobs,
        directory,
        RetryPolicy(settings.retry_schedule),
        AttemptReporter(clock, settings.log_payloads, settings.metrics_integrations),
        settings.max_in_flight,
        settings.max_in_flight_bytes,
        settings.webhook_timeout,
        traces,
        wakeups.lanes,
        lambda claim: ledger.fleet.lease.covers(claim.term),
    )
    dispatch = Dispatcher(ledger, directory, deliveries, traces)
    hot_observer = HotObserver(
        ledger.hot_events,
        lambda new: dispatch.try_observing(new.refs, new.events),
        lambda: deliveries.room,
        wakeups.events,
        settings.observer_idle,
    )
    changes = LifecycleEvents(types, catalogue, secrets, settings.api_url)
    outbox_relay = OutboxRelay(ledger.integrations, ledger.notices, changes, wakeups.events)
    sweeper = Sweeper(
        ledger, dispatch, deliveries, wakeups, outbox_relay, hot_observer, settings.sweep_seconds, presence
    )
    celery_intake = CeleryIntake(ledger, dispatch, rules, traces)
    readers: list[RedisListReader | RabbitMQReader] = [
        RedisListReader(ledger.intake_list, celery_intake.observe, rules, traces)
    ]
    if is_rabbitmq(broker_url):
        readers.append(RabbitMQReader(broker_url, settings.shard, celery_intake, rules))
    archiver = _archiver(settings, ledger)
    return WorkerServices(celery_intake, dispatch, deliveries, hot_observer, sweeper, readers, archiver)


def _archiver(settings: Settings, ledger: Ledger) -> "Archiver | None":
    if settings.history_url is None:
        return None
    from worker.history.archiver import Archiver, HistoryPolicy
    from worker.history.database import HistoryDatabase

    retention, payloads = (round(each * 1000) for each in (settings.history_retention, settings.history_payloads))
    policy = HistoryPolicy(retention, payloads, migrates=settings.history_migrate == "auto")
    database = HistoryDatabase(settings.history_url.get_secret_value())
    archiver = Archiver(ledger, database, policy, metrics.ARCHIVED.inc)
    metrics.HISTORY_AWAY.set_function(lambda: archiver.is_away)
    return archiver
