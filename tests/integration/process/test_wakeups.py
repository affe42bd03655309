"""Wake-ups that nobody reads: their queues have an end, and what they would have named is delivered all the same."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession
from celery import Celery
from kombu.connection import Connection

import config.celery
from config.celery import DELIVERIES_QUEUE, EVENTS_QUEUE, celery_options
from config.settings import Settings
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import StartWorker, WorkerProcess
from tests.fleet.scene import Register
from tests.fleet.variants import on_both_brokers
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import PATIENCE, eventually
from worker.intake import wakeup_sender
from worker.intake.wakeup_message import WAITING_LIMIT
from worker.intake.wakeup_sender import WakeupSender
from worker.intake.wakeups import EVENTS, LANES, BrokerUnavailable
from worker.ledger import Ledger
from worker.publisher import Publisher

#: How long these tests let a broker say nothing (seconds).
SILENCE = 0.5
QUEUES = {EVENTS: EVENTS_QUEUE, LANES: DELIVERIES_QUEUE}


@pytest.fixture
def app(settings: Settings, redis_server: RedisServer, broker_url: str | None) -> Iterator[Celery]:
    """As our own producers have it, on the broker of the test."""
    with Celery("test", set_as_current=False) as made:
        made.conf.update(celery_options(settings, broker_url or redis_server.url))
        yield made


def waiting(app: Celery, kind: str) -> int:
    with app.connection_for_read() as connection, connection.channel() as channel:
        return int(app.amqp.queues[QUEUES[kind]](channel).queue_declare().message_count)


def read(app: Celery, kind: str) -> None:
    with app.connection_for_read() as connection, connection.channel() as channel:
        channel.queue_purge(QUEUES[kind])


@on_both_brokers
@pytest.mark.parametrize("kind", [EVENTS, LANES])
async def test_a_queue_that_nobody_reads_is_added_to_again_once_it_is_read(
    app: Celery, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup_sender, "LOOK_SECONDS", 0.0)
    send = WakeupSender(app, "0", limit=3)
    for n in range(10):
        send(kind, [f"id-{n}"])
    await eventually(lambda: waiting(app, kind) == 3, "it has as many as it may")

    read(app, kind)
    send(kind, ["id-10"])
    await eventually(lambda: waiting(app, kind) == 1, "it is added to")


@on_both_brokers
async def test_a_queue_is_looked_at_by_those_who_send_much(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup_sender, "LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(wakeup_sender, "LOOK_MESSAGES", 5)
    send = WakeupSender(app, "0", limit=3)
    for n in range(20):
        send(LANES, [f"id-{n}"])
    await eventually(lambda: waiting(app, LANES) == 5, "no more than between two looks")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a broker that says nothing as long as usual."""
    monkeypatch.setattr(wakeup_sender, "BROKER_TIMEOUT", SILENCE)
    monkeypatch.setattr(config.celery, "BROKER_TIMEOUT", SILENCE)


@on_both_brokers
@pytest.mark.parametrize("step", ["look", "publish"])
@pytest.mark.usefixtures("hurried")
async def test_a_frozen_broker_is_not_waited_for_without_end(
    step: str, app: Celery, request: pytest.FixtureRequest, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue("rabbit") if app.conf.broker_url.startswith("amqp") else redis_server
    send = WakeupSender(app, "0")
    send(LANES, ["before"])
    # Either every message is preceded by a look at its queue, or none is any more.
    monkeypatch.setattr(wakeup_sender, "LOOK_SECONDS", 0.0 if step == "look" else 3600.0)
    server.freeze()
    with pytest.raises(BrokerUnavailable, match=r"[Tt]ime.?out|timed out"):
        await asyncio.wait_for(asyncio.to_thread(send, LANES, ["meanwhile"]), PATIENCE)
    server.thaw()
    await eventually(lambda: sent(send, ["after"]), "it is used again")
    # What a frozen broker has in its socket's buffer it may take once it goes on.
    assert waiting(app, LANES) in (2, 3)


@on_both_brokers
@pytest.mark.parametrize("step", ["look", "publish"])
async def test_a_broker_that_is_gone_is_unavailable_and_used_again_once_it_is_back(
    step: str, broker_url: str | None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup_sender, "LOOK_SECONDS", 0.0 if step == "look" else 3600.0)
    with RabbitServer() if broker_url else RedisServer() as server, Celery("test", set_as_current=False) as app:
        url = server.url() if isinstance(server, RabbitServer) else server.tcp_url
        app.conf.update(celery_options(settings, url))
        send = WakeupSender(app, "0")
        send(LANES, ["before"])
        # Not killed: a quorum queue of RabbitMQ 3.10 that has just been declared may find no leader after that.
        server.stop()
        with pytest.raises(BrokerUnavailable):
            send(LANES, ["meanwhile"])
        with pytest.raises(BrokerUnavailable):
            send(LANES, ["by a new connection"])
        server.start()
        await eventually(lambda: sent(send, ["after"]), "it is used again")
        assert waiting(app, LANES) == 2


def sent(send: WakeupSender, ids: list[str]) -> bool:
    try:
        send(LANES, ids)
    except BrokerUnavailable:
        return False
    return True


@on_both_brokers
async def test_wakeups_that_no_worker_gets_round_to_are_not_added_to_and_nothing_is_lost(
    app: Celery, start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    await register()
    receiver.holds["e-0"] = asyncio.Event()
    # It has one slot, which is taken, and reads no events: all that it can do is to announce them, again and again.
    worker = await start_worker(
        "edw worker", EDW_MAX_IN_FLIGHT="1", EDW_ANNOUNCE_SECONDS="100ms", EDW_SWEEP_SECONDS="50ms"
    ).ready()
    assert app.control.cancel_consumer(EVENTS_QUEUE, reply=True, timeout=PATIENCE, limit=1)
    await pile_up(app)
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid(id="e-0"))
        await eventually(receiver.got(1), "its one slot is taken")
        await publisher.apublish_many(order_paid(id=f"e-{n}") for n in range(1, 30))

    await eventually(lambda: worker.said("wake-ups withheld"), "it finds the queue too long")
    before = waiting(app, EVENTS)
    enough = await sweeps(worker) + 20

    async def has_swept() -> bool:
        return await sweeps(worker) >= enough

    await eventually(has_swept, "it goes on to announce")
    assert waiting(app, EVENTS) == before

    receiver.holds["e-0"].set()
    await eventually(receiver.got(30), "everything is delivered, without a wake-up")
    assert len({each.body["id"] for each in receiver.received}) == len(receiver.received) == 30
    await balanced(ledger)


async def pile_up(app: Celery) -> None:
    """As many messages as may wait, by several at once: Redis writes each to its disk.

    And some that a consumer which was cancelled just now still gets of RabbitMQ.
    """

    def publish(count: int) -> None:
        options = app.conf.broker_transport_options
        with Connection(app.conf.broker_url, transport_options=options) as connection, connection.channel() as channel:
            producer = connection.Producer(channel, routing_key=EVENTS_QUEUE)
            for _ in range(count):
                producer.publish("old")

    await asyncio.gather(*(asyncio.to_thread(publish, WAITING_LIMIT // 8 + 2) for _ in range(8)))
    await eventually(lambda: waiting(app, EVENTS) >= WAITING_LIMIT, "the queue is as long as it may be")


async def sweeps(worker: WorkerProcess) -> int:
    async with ClientSession() as client, client.get(f"{worker.probe}/metrics") as answer:
        found = re.search(r'edw_ledger_call_duration_seconds_count\{script="sweep"\} (\S+)', await answer.text())
    return int(float(found[1])) if found else 0
