"""A Redis that lost its memory, flushed or restored from an old copy: what it knows goes on, and so does new work."""

import asyncio
from dataclasses import replace
from pathlib import Path

from celery import Celery

from config.celery import broker_url_for
from config.settings import Settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced, succeeded
from tests.fleet.outages import Watched
from tests.fleet.processes import StartApi, StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import inspection
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually
from worker.domain.event import event_ref
from worker.domain.format_version import FORMAT
from worker.ledger import Ledger
from worker.publisher import Publisher


class TestARedisServerThatLostItsMemory:
    async def test_flushed_with_its_scripts_under_workers_and_the_api_it_is_a_new_ledger_and_old_wakeups_mean_nothing(
        self,
        start_worker: StartWorker,
        start_api: StartApi,
        receiver: Receiver,
        register: Register,
        ledger: Ledger,
        settings: Settings,
        redis_server: RedisServer,
    ) -> None:
        known = await register(configuration={"url": f"{receiver.url}/old"})
        worker, api = start_worker(), start_api()
        await worker.ready()
        await api.ready()
        receiver.holds["in flight"] = asyncio.Event()
        async with Publisher(settings) as publisher:
            await publisher.apublish_many([order_paid(id="before"), order_paid(id="in flight")])
            await eventually(receiver.got(2), "one is delivered, and one in flight")
            ref = event_ref(SCOPE, "before")
            redis_server.clear()
            receiver.holds["in flight"].set()
            await eventually(lambda: worker.log.read_text().count('"joined the fleet"') == 2, "it is noticed")
            assert await inspection.format_of(ledger) == FORMAT

            with Celery("producer", broker=broker_url_for(redis_server.url), set_as_current=False) as producer:
                gone = {"v": 1, "shard": "0", "event_ids": [ref, "no such event"]}
                producer.send_task("worker.tasks.observe", kwargs=gone, queue="edw.events")
                gone = {"v": 1, "shard": "0", "lane_ids": [known.id, "no such lane"]}
                producer.send_task("worker.tasks.deliver", kwargs=gone, queue="edw.deliveries")
            # The same id and the same revision, and somewhere else.
            await register(id=known.id, configuration={"url": f"{receiver.url}/new"})
            assert (await ledger.integrations.get([known.id]))[0].revision == 1
            redis_server.forget_scripts()
            await publisher.apublish_many([order_paid(id="before"), order_paid(id="after")])
            await eventually(receiver.got(4), "new events are delivered")

        assert {(each.body["id"], each.path) for each in receiver.received[2:]} == {
            ("before", "/hook/new"),
            ("after", "/hook/new"),
        }
        await eventually(lambda: succeeded(ledger, 2), "both are settled")
        for each in (Watched("a worker", worker.pid, worker.probe), Watched("the API", api.process.pid, api.url)):
            await each.becomes("ok")
        assert not worker.said("Traceback")
        assert "Traceback" not in api.output
        await balanced(ledger)

    async def test_restored_from_an_older_copy_it_goes_on_from_there(
        self,
        start_worker: StartWorker,
        receiver: Receiver,
        register: Register,
        ledger: Ledger,
        settings: Settings,
        redis_server: RedisServer,
        tmp_path: Path,
    ) -> None:
        first = await register(configuration={"url": f"{receiver.url}/first"})
        await register(observes=("order.created",), configuration={"url": f"{receiver.url}/owed"})
        worker = await start_worker(EDW_RETRY_SCHEDULE="1s").ready()
        receiver.answers = [503]
        async with Publisher(settings) as publisher:
            await publisher.apublish(order_paid(id="owed", type="order.created"))
            await eventually(lambda: _failed(ledger), "its first attempt failed")
            redis_server.copy(tmp_path / "copy")
            mended = replace(first, configuration={"url": f"{receiver.url}/second"})
            second = (await ledger.integrations.put(mended)).integration
            await publisher.apublish(order_paid(id="forgotten"))
            await eventually(lambda: succeeded(ledger, 2), "both are delivered")
            # What was delivered since the copy, it does not know.
            received = len(receiver.received)

            await asyncio.to_thread(redis_server.restore, tmp_path / "copy")
            await eventually(lambda: worker.said('"redis restarted"'), "it is noticed")
            await eventually(receiver.got(received + 1), "what it still knows goes on")
            assert [(each.body["id"], each.body["attempt"]) for each in receiver.received[received:]] == [("owed", 2)]
            # The copy's first revision becomes another second one, and that is the one to deliver to.
            mended = replace(first, configuration={"url": f"{receiver.url}/third"})
            again = (await ledger.integrations.put(mended)).integration
            assert again.revision == second.revision
            await publisher.apublish_many([order_paid(id="forgotten"), order_paid(id="new")])
            await eventually(receiver.got(received + 3), "new events are delivered")
        assert {each.path for each in receiver.received[received + 1 :]} == {"/hook/third"}
        await eventually(lambda: succeeded(ledger, 3), "all are settled")
        assert not worker.said("Traceback")
        await balanced(ledger)


async def _failed(ledger: Ledger) -> bool:
    return bool((await ledger.logs.failures(SCOPE, 0, 1)).items)
