"""The rooms of a worker process: how they are wired to each other, begin, and end in good order."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.celery import is_rabbitmq
from config.observable_events import load_catalogue
from config.settings import Settings
from deliverers.contract import Deliverer
from deliverers.registry import DelivererRegistry
from worker.attempts import Reporter
from worker.backoff import RetryPolicy
from worker.changes import Changes
from worker.clock import StoreClock
from worker.delivery import Deliveries
from worker.directory import Directory
from worker.dispatch import Dispatch
from worker.doors.celery_messages import TaskDoor
from worker.doors.rabbitmq_queue import RabbitQueue
from worker.doors.redis_list import RedisList
from worker.ledger import Ledger
from worker.parsing import EventRules
from worker.readiness import Presence
from worker.secrets import SecretsBox
from worker.sweeper import Sweeper
from worker.telling import Teller
from worker.traces import Traces
from worker.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Rooms:
    """What Celery's tasks may call, and what goes on by itself beside them."""

    door: TaskDoor
    dispatch: Dispatch
    deliveries: Deliveries
    sweeper: Sweeper
    #: Of the plain queue, wherever it is.
    readers: Sequence[RedisList | RabbitQueue]

    def open(self) -> None:
        """Begins, on the running loop."""
        self.deliveries.open()
        self.sweeper.open()
        for reader in self.readers:
            reader.open()

    def stop_claiming(self) -> None:
        """Takes no more; what is in flight goes on."""
        self.deliveries.stop_claiming()
        self.door.close()
        self.stop_reading()

    def stop_reading(self) -> None:
        """Takes no more of the plain queue."""
        for reader in self.readers:
            reader.stop()

    async def drain(self, until: float, hurry: asyncio.Event) -> int:
        """Ends in good order what is under way; the heartbeat goes on until it has.

        It is waited for until then (on the loop's clock), or `hurry` is set. Answers how many could not be settled.
        """
        await self.sweeper.close()
        left = max(0.0, until - asyncio.get_running_loop().time())
        await asyncio.gather(self.deliveries.drain(left, hurry), *(reader.close() for reader in self.readers))
        unsettled = self.deliveries.in_flight
        await self.sweeper.retire()
        return unsettled


def wire(
    settings: Settings,
    broker_url: str,
    ledger: Ledger,
    types: DelivererRegistry,
    deliverers: Mapping[str, Deliverer],
    clock: StoreClock,
    wakeups: Wakeups,
    presence: Presence,
    traces: Traces | None,
) -> Rooms:
    """The rooms, on a ledger and deliverers that are open; `presence` is told whether the ledger answers."""
    catalogue, secrets = load_catalogue(settings.observable_keys), SecretsBox(settings.secrets_keys)
    rules = EventRules(catalogue, settings.event_max_bytes)
    directory = Directory(ledger, types, deliverers, secrets)
    deliveries = Deliveries(
        ledger.jobs,
        directory,
        RetryPolicy(settings.retry_schedule),
        Reporter(clock, settings.log_payloads, settings.metrics_integrations),
        settings.max_in_flight,
        settings.webhook_timeout,
        traces,
        wakeups.lanes,
    )
    dispatch = Dispatch(ledger, directory, deliveries, traces)
    teller = Teller(ledger.registry, Changes(types, catalogue, secrets), wakeups.events)
    sweeper = Sweeper(ledger, dispatch, deliveries, wakeups, teller, settings.sweep_seconds, presence)
    door = TaskDoor(ledger, dispatch, rules, traces)
    readers: list[RedisList | RabbitQueue] = [RedisList(ledger.messages, door.observe, rules, traces)]
    if is_rabbitmq(broker_url):
        readers.append(RabbitQueue(broker_url, settings.shard, door, rules))
    return Rooms(door, dispatch, deliveries, sweeper, readers)
