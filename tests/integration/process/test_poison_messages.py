"""Messages with events that come back again and again, because every process that takes them dies.

With both brokers: Redis restores a Celery message that was not acknowledged without end, and says only that it was
delivered before; RabbitMQ counts. Of the plain queue on Redis, the ledger counts.
"""

import json
from typing import Any

from celery import Celery
from kombu.connection import Connection

from config.celery import DELIVERY_LIMIT, EVENTS_QUEUE, broker_url_for, celery_options, dead_queue
from config.settings import Settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import StartWorker
from tests.fleet.producers import push_to_list
from tests.fleet.scene import Register
from tests.fleet.variants import on_both_brokers, on_rabbitmq
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.ledger.events.intake_list import MESSAGE_TRIES


def send(broker: str, settings: Settings, **event: Any) -> str:
    """A message as a foreign producer sends it; answers its task's id."""
    with Celery("producer", set_as_current=False) as producer:
        producer.conf.update(celery_options(settings, broker))
        sent = producer.send_task("worker.tasks.observe", kwargs={"events": [order_paid(**event)]})
        return str(sent.id)


async def returned_once(broker: str) -> None:
    """Somebody takes the message, and is gone."""
    with Connection(broker_url_for(broker)) as connection:
        channel = connection.channel()
        message = await eventually(lambda: channel.basic_get(EVENTS_QUEUE), "the message is there")
        channel.basic_reject(message.delivery_tag, requeue=True)


@on_both_brokers
async def test_a_message_that_came_back_too_often_is_kept_and_read_no_more(
    broker_url: str | None,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    settings: Settings,
    redis_server: RedisServer,
) -> None:
    await register()
    broker = broker_url or redis_server.url
    deadly = send(broker, settings, id="deadly")
    await returned_once(broker)
    for _ in range(DELIVERY_LIMIT):
        await ledger.inbox.came_back(deadly)
    # A message that came back once is not worse than others.
    innocent = send(broker, settings, id="innocent")
    await ledger.inbox.came_back(innocent)

    await start_worker().ready()

    await eventually(receiver.got(1), "the innocent one is delivered")

    async def kept() -> bool:
        return len(await ledger.inbox.rejected(10)) == 1

    await eventually(kept, "the deadly one is kept")
    (rejected,) = await ledger.inbox.rejected(10)
    assert "came back" in rejected.reason
    assert "deadly" in rejected.given
    assert [each.body["id"] for each in receiver.received] == ["innocent"]
    await balanced(ledger)


async def test_of_the_plain_queue_one_that_lost_five_workers_is_kept_and_read_no_more(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, redis_server: RedisServer
) -> None:
    await register()
    deadly, innocent = (json.dumps(order_paid(id=name)) for name in ("deadly", "innocent"))
    push_to_list(redis_server.url, deadly)
    for _ in range(MESSAGE_TRIES):
        assert len((await ledger.intake_list.take()).messages) == 1
        await ledger.fleet.retire()
        await ledger.intake_list.return_dead()
    push_to_list(redis_server.url, innocent)

    await start_worker().ready()

    await eventually(receiver.got(1), "the innocent one is delivered")
    (rejected,) = await ledger.inbox.rejected(10)
    assert (rejected.given, rejected.reason) == (deadly, "5 workers were lost after they had taken it")
    assert [each.body["id"] for each in receiver.received] == ["innocent"]
    await balanced(ledger)


@on_rabbitmq
async def test_rabbitmq_moves_a_message_aside_that_kills_before_anybody_can_count(
    broker_url: str, start_worker: StartWorker, ledger: Ledger, settings: Settings
) -> None:
    # It makes the queues.
    assert await (await start_worker().ready()).stop() == 0
    send(broker_url, settings, id="deadly")
    for _ in range(DELIVERY_LIMIT + 1):
        await returned_once(broker_url)

    with Connection(broker_url) as connection:
        channel = connection.channel()
        dead = await eventually(lambda: channel.basic_get(dead_queue(EVENTS_QUEUE).name), "it is set aside")
        assert "deadly" in str(dead.body)
        assert channel.basic_get(EVENTS_QUEUE) is None
