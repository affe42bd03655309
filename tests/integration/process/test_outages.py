"""Outages heal by themselves: Redis or a broker that is away for a while costs time, and nothing else.

`--outage-seconds` says for how long: about a second in `make test`, 30 and 120 in `make outages`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from time import monotonic
from typing import Any

import pytest
from kombu.connection import Connection
from pydantic import SecretStr

from config.celery import INTAKE_QUEUE, is_rabbitmq
from config.settings import Settings
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.sentinel import PASSWORD, SentinelTrio
from tests.fleet.ledger_state import balanced, logs_of, succeeded
from tests.fleet.outages import WAYS, Watched, lasts, outage_of, resumed
from tests.fleet.processes import StartApi, StartWorker, WorkerProcess
from tests.fleet.producers import ForeignProducer
from tests.fleet.scene import FleetScene
from tests.fleet.webhook_receiver import Receiver
from tests.samples import SCOPE, order_paid
from tests.waiting import PATIENCE, eventually
from worker.domain.integration import Integration
from worker.ledger import Ledger, LedgerPolicy, LedgerUnavailable
from worker.publisher import Publisher

# The limit of a test counts an outage of two minutes.
pytestmark = pytest.mark.timeout(360)

#: Of each of two workers.
IN_FLIGHT = 5
EVENTS = 16
#: What three Sentinels need for replacing a master, once they hold it to be down.
ELECTION_SECONDS = 0.7

Resuming = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def resuming(record_property: Callable[[str, object], None]) -> Resuming:
    return lambda: resumed(record_property)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # RabbitMQ starts so slowly that it is away for long alone; test_rabbitmq.py restarts it while everybody works.
    if "broker" in metafunc.fixturenames:
        is_long = min(metafunc.config.getoption("--outage-seconds")) > 1
        metafunc.parametrize("broker", ["redis", "rabbitmq"] if is_long else ["redis"], indirect=True)


@pytest.fixture
def broker(request: pytest.FixtureRequest, make_redis: Callable[..., RedisServer]) -> RedisServer | RabbitServer:
    """A broker that is not the ledger's Redis."""
    if request.param == "redis":
        return make_redis()
    rabbit: RabbitServer = request.getfixturevalue("rabbit")
    return rabbit


class TestRedis:
    @pytest.mark.parametrize("way", WAYS)
    async def test_away_for_a_while_repeats_nothing_loses_nothing_and_needs_no_restart(
        self,
        way: str,
        outage_seconds: float,
        scene: FleetScene,
        start_api: StartApi,
        redis_server: RedisServer,
        resuming: Resuming,
    ) -> None:
        receiver, ledger = scene.receiver, scene.ledger
        integration = await scene.register()
        await scene.register(observes=("order.created",))
        receiver.holds["long"] = asyncio.Event()
        async with Publisher(scene.settings) as publisher, outage_of(way, redis_server) as outage:
            # An outage takes longer than a lease: the workers must not take each other for dead when it is over.
            here = {
                "EDW_REDIS_URL": outage.url,
                "EDW_LEASE_SECONDS": str(min(15.0, outage_seconds)),
                "EDW_MAX_IN_FLIGHT": str(IN_FLIGHT),
                "EDW_WEBHOOK_TIMEOUT": str(60 + outage_seconds),
            }
            workers = [scene.start_worker(**here), scene.start_worker(**here)]
            api = await start_api(EDW_REDIS_URL=outage.url).ready()
            for worker in workers:
                await worker.ready()
            watched = [Watched("a worker", worker.pid, worker.probe) for worker in workers]
            watched.append(Watched("the API", api.process.pid, api.url))
            warm = await _prove(workers, publisher, receiver)
            receiver.hold = asyncio.Event()
            await publisher.apublish(order_paid(id="long", type="order.created"))
            await eventually(receiver.got(warm + 1), "a delivery that outlasts the outage is in flight")
            await publisher.apublish_many([order_paid(id=f"e-{n}") for n in range(EVENTS)])
            await eventually(lambda: _are_busy(watched[:2]), "each worker has some of it in flight")
            assert all([(await each.becomes("ok"))["checks"] for each in watched])

            began = monotonic()
            outage.begin()
            for each in watched:
                each.begin()
            # Outcomes come in while nobody can write them down.
            receiver.answers = [503]
            receiver.hold.set()
            for each in watched:
                found = await each.becomes("red", "ledger")
                assert found["why"]
                assert await each.lives()
            begun = len(receiver.received)
            await lasts(outage_seconds, began)
            for each in watched:
                each.check()
            # What is over is kept, in the places of what is in flight; nothing more was begun.
            assert len(receiver.received) == begun
            kept = [(await each.ask("/healthz"))[1]["in_flight"] for each in watched[:2]]
            assert sum(kept) == begun - warm
            assert max(kept) <= IN_FLIGHT

            outage.end()
            with resuming():
                await publisher.apublish(order_paid(id="after"))
                all_of_it = {f"e-{n}" for n in range(EVENTS)} | {"after"}
                await eventually(lambda: _ids(receiver) >= all_of_it, "work goes on")
            receiver.holds["long"].set()
            await eventually(lambda: succeeded(ledger, warm + EVENTS + 2), "all is settled")
            for each in watched:
                await each.becomes("ok")

        attempts = Counter((each.body["id"], each.body["attempt"]) for each in receiver.received)
        assert max(attempts.values()) == 1, "a delivery was repeated"
        # What the receiver said while Redis was away is what the log says.
        # Of a claim whose reply the outage swallowed nothing was sent, and no attempt is logged.
        logs = await logs_of(ledger, integration.id)
        assert Counter(log.status_code for log in logs) == {200: warm + EVENTS + 1, 503: 1}
        assert {(log.event_id, log.attempt) for log in logs} == set(attempts) - {("long", 1)}
        await balanced(ledger)


class TestTheBroker:
    @pytest.mark.parametrize("way", WAYS)
    async def test_away_for_a_while_costs_latency_and_redis_alone_delivers(
        self,
        way: str,
        outage_seconds: float,
        scene: FleetScene,
        broker: RedisServer | RabbitServer,
        resuming: Resuming,
    ) -> None:
        receiver, ledger = scene.receiver, scene.ledger
        await scene.register()
        async with outage_of(way, broker) as outage:
            worker = await scene.start_worker(EDW_BROKER_URL=outage.url, EDW_ANNOUNCE_SECONDS="300ms").ready()
            watched = Watched("a worker", worker.pid, worker.probe)
            await watched.becomes("ok")

            began = monotonic()
            outage.begin()
            watched.begin()
            there = scene.settings.model_copy(update={"broker_url": SecretStr(outage.url)})
            async with Publisher(there) as publisher:
                receipts = [await publisher.apublish(order_paid(id=f"e-{n}")) for n in range(5)]
                assert len(receipts) == 5
                await eventually(receiver.got(5), "Redis alone delivers")
            found = await watched.becomes("degraded", "broker")
            assert found["why"]
            assert found["since"]
            assert await watched.lives()
            await lasts(outage_seconds, began)
            watched.check()

            outage.end()
            with resuming():
                await watched.becomes("ok")
                ingresses = await _offered_until_taken(outage.url, receiver)
        ids = [*(f"e-{n}" for n in range(5)), *ingresses]
        await eventually(lambda: succeeded(ledger, len(ids)), "all is settled")
        assert Counter(each.body["id"] for each in receiver.received) == Counter(ids)
        await balanced(ledger)


class TestAFailover:
    async def test_of_sentinels_loses_nothing_that_a_replica_confirmed_and_needs_no_restart(
        self,
        outage_seconds: float,
        start_worker: StartWorker,
        start_api: StartApi,
        receiver: Receiver,
        settings: Settings,
        resuming: Resuming,
    ) -> None:
        with SentinelTrio(down_after=outage_seconds - ELECTION_SECONDS) as trio:
            settings = settings.model_copy(update={"redis_url": SecretStr(trio.url), "ledger_wait_replicas": 1})
            ledger = Ledger(trio.url, LedgerPolicy.of(settings))
            await ledger.open()
            await ledger.integrations.put(an_integration(receiver))
            here = {"EDW_REDIS_URL": trio.url, "EDW_LEDGER_WAIT_REPLICAS": "1"}
            worker = start_worker(**here)
            api = await start_api(**here).ready()
            await worker.ready()
            watched = [Watched("a worker", worker.pid, worker.probe), Watched("the API", api.process.pid, api.url)]
            async with Publisher(settings) as publisher:
                producing = asyncio.create_task(_publish_until(publisher, stop := asyncio.Event()))
                await eventually(receiver.got(5), "events are delivered")
                for each in watched:
                    await each.becomes("ok")
                    each.begin()

                # The machine of the master and of the Sentinel that everybody asks first is gone.
                trio.kill_first_sentinel()
                trio.servers[0].kill()
                for each in watched:
                    assert (await each.becomes("red", "ledger"))["why"]
                    assert await each.lives()
                await eventually(
                    lambda: asyncio.to_thread(trio.has_failed_over), "a replica takes over", outage_seconds + PATIENCE
                )
                for each in watched:
                    each.check()
                with resuming():
                    for each in watched:
                        await each.becomes("ok", "ledger")
                    delivered = len(receiver.received)
                    await eventually(receiver.got(delivered + 20), "work goes on")
                stop.set()
                accepted = await producing
                # A producer without a loop finds the new master as well.
                accepted.append((await asyncio.to_thread(publisher.publish, order_paid(id="by a thread"))).id)
            await eventually(lambda: _ids(receiver) >= set(accepted), "everything that was accepted is delivered")
            for each in watched:
                await each.becomes("ok")
            await ledger.close()
        assert PASSWORD not in api.output
        assert not worker.said(PASSWORD)


def an_integration(receiver: Receiver) -> Integration:
    return Integration("i-1", SCOPE, "ERP", "webhook", ("order.paid",), {"url": receiver.url})


async def _publish_until(publisher: Publisher, stop: asyncio.Event) -> list[str]:
    """Publishes event after event, each as often as it takes; answers the ids of those that were accepted."""
    accepted: list[str] = []
    while not stop.is_set():
        event_id = f"e-{len(accepted)}"
        with suppress(LedgerUnavailable):
            accepted.append((await publisher.apublish(order_paid(id=event_id))).id)
        await asyncio.sleep(0.02)
    return accepted


async def _offered_until_taken(url: str, receiver: Receiver) -> list[str]:
    """Has others put events on the broker, each again and again, until all are delivered; answers their ids.

    Over Redis, a first message may go to a line that is dead.
    """
    foreign = ForeignProducer(url)
    offers: dict[str, Callable[[Any], object]] = {"raw": lambda event: foreign.send(kwargs={"events": [event]})}
    if is_rabbitmq(url):
        offers["plain"] = partial(_put_on_plain_queue, url)
    while missing := offers.keys() - _ids(receiver):
        for each in missing:
            await asyncio.to_thread(offers[each], order_paid(id=each))
        await asyncio.sleep(0.1)
    foreign.app.close()
    return list(offers)


def _put_on_plain_queue(url: str, event: dict[str, Any]) -> None:
    with Connection(url) as connection:
        connection.Producer().publish(event, routing_key=INTAKE_QUEUE)


async def _prove(workers: list[WorkerProcess], publisher: Publisher, receiver: Receiver) -> int:
    """Has each worker deliver something, so that it trusts the receiver with all it has; answers how many it was."""
    count = 0

    async def done() -> bool:
        nonlocal count
        if all(worker.said('"event":"attempt"') for worker in workers):
            return len(receiver.received) == count
        await publisher.apublish(order_paid(id=f"warm-{count}"))
        count += 1
        return False

    await eventually(done, "each worker delivers something")
    return count


async def _are_busy(workers: list[Watched]) -> bool:
    return all([(await each.ask("/healthz"))[1]["in_flight"] > 0 for each in workers])


def _ids(receiver: Receiver) -> set[str]:
    return {each.body["id"] for each in receiver.received}
