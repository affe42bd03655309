"""A real Prometheus scrapes a real worker and a real API under load, with the rules and the dashboard that we ship."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial

import aiohttp
import pytest

from config.settings import Settings
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.prometheus import PrometheusServer
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.server import require
from tests.dashboard.panels import panels
from tests.fleet.processes import StartApi, StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import issue_token, order_paid
from tests.waiting import eventually
from worker.domain.api_token import Role
from worker.domain.event import Scope
from worker.ledger import Ledger
from worker.publisher import Publisher

BROKEN = Scope("org-1", "store-2")
#: How far back windows look, which are minutes in production.
WINDOW = "4s"

PrometheusOf = Callable[..., PrometheusServer]


@pytest.fixture
def start_prometheus() -> Iterator[PrometheusOf]:
    require(PrometheusServer)
    started: list[PrometheusServer] = []

    def start(**targets: list[str]) -> PrometheusServer:
        server = PrometheusServer(targets, interval="400ms", window=WINDOW, hold="1s")
        started.append(server)
        return server.start()

    yield start
    for each in started:
        each.remove()


@pytest.fixture
def limited(redis_server: RedisServer) -> Iterator[None]:
    """Redis has a memory limit, as it must."""
    redis_server.limit_memory("1gb")
    yield
    redis_server.limit_memory(0)


def metrics_of(log: str) -> str:
    """host:port of the metrics, as a process's log says."""
    (line,) = [json.loads(line) for line in log.splitlines() if '"event":"probe"' in line]
    return str(line["metrics"]).removeprefix("http://").removesuffix("/metrics")


async def until(ask: Callable[[], object], what: str) -> object:
    """Asks the Prometheus, in a thread, until the answer is true."""

    async def asked() -> object:
        return await asyncio.to_thread(ask)

    return await eventually(asked, what)


async def test_queries_alerts_and_dashboard_say_what_really_happens(
    start_worker: StartWorker,
    start_api: StartApi,
    start_prometheus: PrometheusOf,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    settings: Settings,
    limited: None,
    postgres: PostgresServer,
    database_name: str,
) -> None:
    await register()
    await register(observes=("product.deleted",), filter={"data": {"name": "no product of ours"}})
    await register(scope=BROKEN, configuration={"url": f"{receiver.url}/broken"})
    quick = {"EDW_METRICS_SECONDS": "200ms", "EDW_CIRCUIT_FAILURES": "2", "EDW_CIRCUIT_PAUSES": "300ms"}
    # However long the receiver is broken on a slow machine, no job is given up.
    quick |= {"EDW_HISTORY_URL": postgres.url(database_name), "EDW_RETRY_SCHEDULE": " ".join(40 * ["200ms"])}
    worker, api = start_worker(**quick), start_api(**quick)
    await asyncio.gather(worker.ready(), api.ready())
    # It takes requests a moment before it has a place for its metrics.
    await eventually(lambda: '"event":"probe"' in api.output, "the API says where its metrics are")
    prometheus = await asyncio.to_thread(
        start_prometheus, edw_worker=[metrics_of(worker.log.read_text())], edw_api=[metrics_of(api.output)]
    )
    receiver.always["/hook/broken"] = 503
    enough = asyncio.Event()
    load = asyncio.create_task(loaded(settings, api.url, await issue_token(ledger, Role.PUBLISH), enough))

    # One alert fires: a receiver's.
    await until(lambda: "ReceiverFailing" in prometheus.firing(), "ReceiverFailing fires")
    assert "NothingDelivered" not in prometheus.firing()

    # Every panel of the dashboard has something to show while there is a load.
    for panel in panels():
        for query in panel.queries:
            expression = query.over(WINDOW)
            await until(partial(prometheus.query, expression), f"{panel.title}: {expression}")
    delay = await until(lambda: prometheus.value("edw:first_attempt_delay_seconds:p95_5m"), "a delay's p95 is known")
    assert isinstance(delay, float)
    assert 0 < delay < 30
    assert prometheus.value('sum(edw_events_accepted_total{ingress="http"})'), "events by HTTP are counted by the API"

    # The receiver comes back, and the alert goes.
    receiver.always.clear()
    await until(lambda: prometheus.value("sum(edw_history_archived_total)"), "records are archived")
    await until(lambda: prometheus.value("sum(edw_history_kept)"), "they are in the ledger still")
    postgres.freeze()
    await until(lambda: prometheus.value("max(edw_history_lag_seconds)"), "records wait while PostgreSQL is frozen")
    postgres.kill()
    await until(lambda: prometheus.value("sum(edw_history_away)"), "the worker reports that PostgreSQL is away")
    postgres.start()
    await until(lambda: prometheus.value("sum(edw_history_away)") == 0, "PostgreSQL is back")
    enough.set()
    observed, unobserved = await load
    await until(lambda: "ReceiverFailing" not in prometheus.firing(), "ReceiverFailing clears")
    await until(
        lambda: prometheus.value('sum(edw:ledger_jobs{state="succeeded"})') == observed, "all deliveries are counted"
    )
    accepted = observed + unobserved
    await until(lambda: prometheus.value('sum(edw:ledger_events{state="accepted"})') == accepted, "and all events")
    assert prometheus.value("edw:events:balance") == 0
    assert prometheus.value("edw:jobs:balance") == 0
    assert prometheus.value("sum(edw_jobs_pending)") == 0
    assert len(receiver.received) >= observed


async def loaded(settings: Settings, api: str, token: str, enough: asyncio.Event) -> tuple[int, int]:
    """Publishes until it is enough, by the class and by HTTP; answers how many are delivered, and how many not."""
    rounds = 0
    async with Publisher(settings) as publisher, aiohttp.ClientSession() as session:
        while not enough.is_set():
            await publisher.apublish_many([order_paid() for _ in range(4)])
            await publisher.apublish(order_paid(store_id=BROKEN.store_id))
            await publisher.apublish(order_paid(type="order.created"))
            await publisher.apublish(order_paid(type="product.deleted"))
            async with session.post(
                f"{api}/v2/events", json={"data": order_paid()}, headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                assert answer.status == 202, await answer.text()
            rounds += 1
            await asyncio.sleep(0.1)
    return 6 * rounds, 2 * rounds
