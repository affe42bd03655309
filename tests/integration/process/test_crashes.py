"""What the worker's death and a dead broker mean for events: nothing.

With both brokers: a worker that dies with a message in hand. What else happens here is between workers and the ledger,
whose sweeps need no broker.
"""

import asyncio

import pytest
from celery import Celery

import config.celery
from config.settings import Settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced, succeeded
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.fleet.variants import on_both_brokers
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.domain.job import JobState
from worker.intake import wakeup_sender
from worker.ledger import Ledger, LedgerUnavailable
from worker.publisher import Publisher

#: Longer than any test may take (seconds).
FOREVER = 3600.0


@on_both_brokers
async def test_kill_9_during_attempt_1_means_attempt_2_by_another_worker_and_two_logs(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    integration = await register()
    receiver.hold = asyncio.Event()
    first = await start_worker().ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid())
    await eventually(receiver.got(1), "attempt 1 is in flight")
    first.kill()
    receiver.hold.set()
    receiver.hold = None

    await start_worker().ready()
    await eventually(receiver.got(2), "another worker delivers")
    logs = await eventually(lambda: _two_logs(ledger, integration.id), "both attempts are logged")

    assert [each.body["attempt"] for each in receiver.received] == [1, 2]
    assert [(log.attempt, log.succeeded) for log in logs] == [(2, True), (1, False)]
    assert "worker was lost" in logs[1].error_detail
    job = (await ledger.jobs.get([logs[0].job_id]))[0]
    assert (job.state, job.attempts, job.lost) == (JobState.SUCCEEDED, 2, 1)
    await balanced(ledger)


async def test_a_restarted_worker_takes_over_what_the_killed_one_held_before_its_lease_ends(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    """The leases of the dead fill the lane's cap. They would end after an hour."""
    lasting = {"EDW_LEASE_SECONDS": "3600", "EDW_LANE_CAP": "2"}
    await register()
    receiver.hold = hold = asyncio.Event()
    first = await start_worker(**lasting).ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish_many([order_paid(id=f"e-{n}") for n in range(4)])
        await eventually(receiver.got(2), "the lane's cap is in flight")
    first.kill()
    receiver.hold = None
    hold.set()

    await start_worker(**lasting).ready()
    await eventually(lambda: succeeded(ledger, 4), "all are delivered")
    attempts = sorted((each.body["id"], each.body["attempt"]) for each in receiver.received)
    assert len(attempts) == 4 + 2
    assert len({event for event, attempt in attempts if attempt == 2}) == 2
    await balanced(ledger)


async def test_a_worker_takes_over_what_its_killed_neighbour_held(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    lasting = {"EDW_LEASE_SECONDS": "3600"}
    await register()
    receiver.hold = hold = asyncio.Event()
    first = await start_worker(**lasting).ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid())
        await eventually(receiver.got(1), "attempt 1 is in flight")
    await start_worker(**lasting).ready()
    receiver.hold = None
    first.kill()
    hold.set()
    await eventually(lambda: succeeded(ledger, 1), "the neighbour delivers")
    assert [each.body["attempt"] for each in receiver.received] == [1, 2]
    await balanced(ledger)


@pytest.mark.parametrize("way", ["frozen", "gone"])
async def test_without_a_broker_publishing_answers_and_due_jobs_are_delivered(
    way: str,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    make_redis: type[RedisServer],
) -> None:
    from config.settings import load_settings

    broker = make_redis()
    for name, value in {**environment, "EDW_BROKER_URL": broker.tcp_url}.items():
        if name.startswith("EDW_"):
            monkeypatch.setenv(name, value)
    settings = load_settings()
    await register()
    receiver.answers = [503]
    await start_worker(EDW_BROKER_URL=broker.tcp_url).ready()
    broker.freeze() if way == "frozen" else broker.kill()

    # Nobody may wait for a broker that says nothing: who did would wait for longer than this test may take.
    monkeypatch.setattr(config.celery, "BROKER_TIMEOUT", FOREVER)
    monkeypatch.setattr(wakeup_sender, "BROKER_TIMEOUT", FOREVER)
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid(id="without a broker"))
        await eventually(receiver.got(2), "the event arrives, and its retry")
    assert [each.body["attempt"] for each in receiver.received] == [1, 2]
    if way == "frozen":
        broker.thaw()


async def test_a_worker_stops_although_a_message_waits_for_a_ledger_that_is_full(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    redis_server: RedisServer,
    make_redis: type[RedisServer],
) -> None:
    await register()
    broker = make_redis()
    worker = await start_worker(EDW_BROKER_URL=broker.tcp_url, EDW_DRAIN_SECONDS="1s").ready()
    # Well below: what the connections' buffers need comes and goes.
    redis_server.limit_memory(redis_server.used_memory() // 2)
    producer = Celery("producer", broker=broker.tcp_url, set_as_current=False)
    producer.send_task("worker.tasks.observe", kwargs={"events": [order_paid(id="waits")]}, queue="edw.events")
    await eventually(lambda: worker.said("waiting for the ledger"), "the message waits")
    assert await worker.stop() == 0

    redis_server.limit_memory(0)
    await start_worker(EDW_BROKER_URL=broker.tcp_url).ready()
    await eventually(receiver.got(1), "another worker takes the message")
    producer.close()


async def test_a_worker_outlives_a_broker_that_dies_while_a_message_is_unacknowledged(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    redis_server: RedisServer,
    make_redis: type[RedisServer],
) -> None:
    await register()
    broker = make_redis()
    worker = await start_worker(EDW_BROKER_URL=broker.tcp_url).ready()
    redis_server.kill()
    with Celery("producer", broker=broker.tcp_url, set_as_current=False) as producer:
        for name in ("in hand", "after"):
            event = order_paid(id=name)
            producer.send_task("worker.tasks.observe", kwargs={"events": [event]}, queue="edw.events")
            if name == "in hand":
                await eventually(lambda: worker.said("waiting for the ledger"), "the message waits")
                broker.kill()
                await eventually(lambda: worker.said("Connection to broker lost"), "the worker notices")
                broker.start()
                redis_server.start()
    await eventually(receiver.got(2), "the worker has carried on, and takes messages again")
    assert await worker.stop() == 0


async def test_a_worker_waits_for_a_redis_server_that_comes_later(
    receiver: Receiver, register: Register, start_worker: StartWorker, redis_server: RedisServer, settings: Settings
) -> None:
    await register()
    redis_server.stop()
    worker = start_worker()
    await eventually(lambda: worker.said("waiting for the ledger"), "it says that it waits")
    redis_server.start()
    await worker.ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid())
    await eventually(receiver.got(1), "it works when Redis comes")
    assert worker.log.read_text().count("waiting for the ledger") == 1


async def test_a_redis_server_that_freezes_for_a_while_loses_nothing(
    receiver: Receiver,
    register: Register,
    start_worker: StartWorker,
    redis_server: RedisServer,
    ledger: Ledger,
    settings: Settings,
) -> None:
    await register()
    receiver.hold = asyncio.Event()
    await start_worker().ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish_many([order_paid(id=f"e-{n}") for n in range(20)])
        await eventually(receiver.got(20), "all are in flight")
        redis_server.freeze()
        # The outcomes arrive while nobody can write them down.
        receiver.hold.set()
        with pytest.raises(LedgerUnavailable):
            await publisher.apublish(order_paid(id="later"))
        redis_server.thaw()
        await publisher.apublish(order_paid(id="later"))
    await eventually(lambda: succeeded(ledger, 21), "everything is settled")
    assert sorted(each.body["id"] for each in receiver.received) == sorted([*(f"e-{n}" for n in range(20)), "later"])
    assert {each.body["attempt"] for each in receiver.received} == {1}
    await balanced(ledger)


async def test_two_workers_share_the_load_and_neither_repeats_the_others_work(
    receiver: Receiver, register: Register, start_worker: StartWorker, ledger: Ledger, settings: Settings
) -> None:
    for _ in range(5):
        await register()
    # Neither dies, and a busy machine may keep a process from its heartbeat for a while.
    workers = [start_worker(EDW_LEASE_SECONDS="15") for _ in range(2)]
    for worker in workers:
        await worker.ready()
    async with Publisher(settings) as publisher:
        for start in range(0, 400, 50):
            await publisher.apublish_many([order_paid(id=f"e-{n}") for n in range(start, start + 50)])
    await eventually(lambda: succeeded(ledger, 2000), "all are delivered")
    seen = [(each.body["id"], each.headers["webhook-id"]) for each in receiver.received]
    assert len(seen) == len(set(seen)) == 2000
    assert [await worker.stop() for worker in workers] == [0, 0]
    await balanced(ledger)


async def _two_logs(ledger: Ledger, integration_id: str) -> list[object] | None:
    logs = (await ledger.logs.of_integration(integration_id, 0, 5)).items
    return list(logs) if len(logs) >= 2 and logs[0].succeeded else None
