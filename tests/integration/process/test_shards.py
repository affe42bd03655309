"""Two ledgers on one Redis and one broker: each shard's events, wake-ups and plain queue are its own workers' alone."""

import json
from functools import partial

from config.settings import Settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import StartWorker
from tests.fleet.producers import push_to_list
from tests.fleet.scene import Register
from tests.fleet.variants import on_both_brokers
from tests.fleet.webhook_receiver import Receiver
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually
from worker.domain.integration import Integration
from worker.ledger import Ledger
from worker.publisher import Publisher

EVENTS = 20


@on_both_brokers
async def test_shards_on_one_redis_server_and_broker_do_not_see_each_others_events(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    redis_server: RedisServer,
    settings: Settings,
) -> None:
    other = Ledger(settings.redis_url.get_secret_value() if settings.redis_url else "", ledger.policy, "eu-1")
    await other.open()
    try:
        await register(configuration={"url": f"{receiver.url}/first"})
        there = Integration(
            "other", SCOPE, "ERP", "webhook", ("order.paid",), configuration={"url": f"{receiver.url}/second"}
        )
        await other.integrations.put(there, expect=0)
        first = await start_worker().ready()
        second = await start_worker(EDW_SHARD="eu-1").ready()
        with Publisher(settings) as one, Publisher(settings.model_copy(update={"shard": "eu-1"})) as two:
            for n in range(EVENTS):
                one.publish(order_paid(id=f"first-{n}"))
                two.publish(order_paid(id=f"second-{n}"))
        push_to_list(redis_server.url, json.dumps(order_paid(id="second-plain")), queue="edw.intake.eu-1")
        await eventually(receiver.got(2 * EVENTS + 1), "both get theirs")

        got = {(each.path.rpartition("/")[2], each.body["id"].partition("-")[0]) for each in receiver.received}
        assert got == {("first", "first"), ("second", "second")}
        # Each by its own workers, and by their wake-ups: none got a wake-up for what is not in its ledger.
        for worker, name in ((first, "first"), (second, "second")):
            await eventually(partial(worker.lines, "attempt"), "an attempt is logged")
            assert {str(line["event_id"]).partition("-")[0] for line in worker.lines("attempt")} == {name}
        for each in (ledger, other):
            await eventually(partial(_is_quiet, each), "nothing is pending")
            await balanced(each)
    finally:
        await other.close()


async def _is_quiet(ledger: Ledger) -> bool:
    status = await ledger.status.read()
    return (status.inbox, status.pending) == (0, 0)
