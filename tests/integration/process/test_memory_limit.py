"""Redis at its memory limit, which is the broker too: nothing new is taken, and what is owed goes on."""

from collections.abc import AsyncIterator, Callable
from time import monotonic

import pytest
from celery import Celery
from pydantic import SecretStr

from config.settings import Settings
from tests.counterparts.freezing import freeze, thaw
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced, succeeded
from tests.fleet.outages import Watched
from tests.fleet.processes import StartWorker
from tests.fleet.webhook_receiver import Receiver
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually
from worker.domain.integration import Integration
from worker.ledger import Ledger, LedgerFull, LedgerPolicy
from worker.publisher import Publisher

OWED = 30


@pytest.fixture
def own_redis(make_redis: Callable[..., RedisServer]) -> RedisServer:
    """A server of this test alone, whose limit may be set."""
    return make_redis()


@pytest.fixture
async def full(own_redis: RedisServer, settings: Settings) -> AsyncIterator[Ledger]:
    """A ledger on it."""
    ledger = Ledger(own_redis.tcp_url, LedgerPolicy.of(settings))
    await ledger.open()
    yield ledger
    await ledger.close()


class TestARedisServerAtItsMemoryLimit:
    async def test_refuses_new_events_and_goes_on_delivering_what_is_owed(
        self,
        own_redis: RedisServer,
        full: Ledger,
        start_worker: StartWorker,
        receiver: Receiver,
        settings: Settings,
    ) -> None:
        url = f"redis://{full.address}/0"
        settings = settings.model_copy(update={"redis_url": SecretStr(url)})
        await full.integrations.put(Integration("i-1", SCOPE, "ERP", "webhook", ("order.paid",), {"url": receiver.url}))
        receiver.answers = [503] * OWED
        worker = await start_worker(EDW_REDIS_URL=url, EDW_RETRY_SCHEDULE="2s").ready()
        watched = Watched("a worker", worker.pid, worker.probe)
        async with Publisher(settings) as publisher:
            await publisher.apublish_many([order_paid(id=f"e-{n}") for n in range(OWED)])
            await eventually(receiver.got(OWED), "each was refused once, and is owed")
            # What Celery finds in its queue next, it cannot note that it has.
            freeze(worker.pid)
            with Celery("producer", broker=url, set_as_current=False) as producer:
                for _ in range(5):
                    wakeup = {"v": 1, "shard": "0", "lane_ids": ["i-1"]}
                    producer.send_task("worker.tasks.deliver", kwargs=wakeup, queue="edw.deliveries")
            own_redis.limit_memory(round(own_redis.used_memory() * 0.8))
            thaw(worker.pid)
            watched.begin()
            began = monotonic()

            with pytest.raises(LedgerFull, match="memory limit"):
                await publisher.apublish(order_paid(id="too many"))
            assert "maxmemory" in (await watched.becomes("degraded", "broker"))["why"]
            await eventually(receiver.got(2 * OWED), "what is owed is delivered")
            await eventually(lambda: succeeded(full, OWED), "and settled")
            # Celery's consumer has met the limit, and tries again after a pause.
            await eventually(lambda: worker.said("Cannot connect to", 2), "Celery waits for memory")
            full_for = monotonic() - began
            watched.check()
            assert await watched.lives()

            own_redis.limit_memory(0)
            receipt = await eventually(lambda: _published(publisher), "events are taken again")
            assert receipt
            await eventually(receiver.got(2 * OWED + 1), "and delivered")
        await watched.becomes("ok")
        await eventually(lambda: succeeded(full, OWED + 1), "all is settled")
        # Celery met the limit, and waited, for a second at least each time.
        assert worker.said("OutOfMemoryError")
        assert worker.log.read_text().count("Cannot connect to") <= full_for
        assert not worker.said("Traceback")
        await balanced(full)


async def _published(publisher: Publisher) -> bool:
    try:
        return bool(await publisher.apublish(order_paid(id="after")))
    except LedgerFull:
        return False
