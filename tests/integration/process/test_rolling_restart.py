"""Two workers replaced one after the other while producers publish: nobody notices.

With both brokers, to which what a stopping worker has taken goes back in ways of their own.
"""

import asyncio
from collections import Counter
from time import monotonic

from config.settings import Settings
from tests.fleet.ledger_state import balanced
from tests.fleet.scene import FleetScene
from tests.fleet.variants import on_both_brokers
from tests.samples import order_paid
from tests.waiting import eventually
from worker.publisher import Publisher, Receipt

#: Events in one call, and the calls a second: 150 events a second.
BATCH, CALLS = 5, 30
#: Nobody dies here, and a busy machine may keep a process from its heartbeat, or from what it drains, for a while.
ALIVE = {"EDW_LEASE_SECONDS": "120", "EDW_DRAIN_SECONDS": "60"}


async def publish_until(over: asyncio.Event, settings: Settings) -> list[str]:
    """Publishes at an even rate; answers the ids of the events, none of which was refused."""
    ids: list[str] = []
    async with Publisher(settings) as publisher:
        began = monotonic()
        while not over.is_set():
            batch = [order_paid(id=f"e-{len(ids) + n}") for n in range(BATCH)]
            receipts = await publisher.apublish_many(batch)
            ids += [receipt.id for receipt in receipts if isinstance(receipt, Receipt) and not receipt.duplicate]
            assert len(ids) % BATCH == 0, receipts
            await asyncio.sleep(max(0.0, began + len(ids) / (BATCH * CALLS) - monotonic()))
    return ids


@on_both_brokers
async def test_a_rolling_restart_under_load_has_no_duplicate_no_refusal_and_no_attempt_that_failed(
    broker_url: str | None, scene: FleetScene
) -> None:
    receiver, ledger = scene.receiver, scene.ledger
    integrations = [(await scene.register()).id for _ in range(2)]
    # Some attempts are always in flight.
    receiver.pause = 0.05
    workers = [scene.start_worker("edw worker", **ALIVE), scene.start_worker("celery worker", **ALIVE)]
    for worker in workers:
        await worker.ready()
    over = asyncio.Event()
    publishing = asyncio.create_task(publish_until(over, scene.settings))
    await eventually(receiver.got(100), "both are at work")

    codes = []
    for worker, command in zip(workers, ("celery worker", "edw worker"), strict=True):
        codes.append(await worker.stop())
        await scene.start_worker(command, **ALIVE).ready()
        now = len(receiver.received)
        await eventually(receiver.got(now + 100), "deliveries go on")
    over.set()
    ids = await publishing

    assert codes == [0, 0]

    async def settled() -> bool:
        status = await ledger.status.read()
        return status.inbox == 0 and status.pending == 0

    await eventually(settled, "everything is delivered")
    seen = Counter((each.body["id"], each.headers["webhook-id"]) for each in receiver.received)
    assert Counter(event for event, _ in seen) == Counter({event: len(integrations) for event in ids})
    assert set(seen.values()) == {1}, "a duplicate"
    status = await ledger.status.read()
    assert status.counter("attempts") == status.counter("succeeded") == len(ids) * len(integrations)
    assert status.counter("lost") == 0
    await balanced(ledger)
