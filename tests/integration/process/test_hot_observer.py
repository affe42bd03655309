"""Workers that wait for new events in the ledger: their death and a frozen broker lose no event, and delay few."""

import asyncio

from config.settings import Settings
from tests.counterparts.freezing import freeze, thaw
from tests.counterparts.rabbitmq import RabbitServer
from tests.fleet.ledger_state import balanced, succeeded
from tests.fleet.processes import StartWorker, WorkerProcess
from tests.fleet.scene import FleetScene, Register
from tests.fleet.variants import on_both_brokers, on_rabbitmq
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import inspection
from tests.samples import order_paid
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.publisher import Publisher

#: No sweep announces anything, and nobody leaves: an event arrives by the ledger alone.
STAYING = {"EDW_OBSERVER_IDLE": "600s", "EDW_ANNOUNCE_SECONDS": "600s"}


async def registered(ledger: Ledger, count: int = 1) -> None:
    async def are() -> bool:
        return await inspection.hot_observers(ledger) == count

    await eventually(are, f"{count} are registered")


async def warmed(scene: FleetScene) -> None:
    """Have a worker registered, by a wake-up of the broker."""
    await scene.publish(id="first")
    await eventually(scene.receiver.got(1), "the broker announces the first event")
    await registered(scene.ledger)


def delivered_by(worker: WorkerProcess) -> int:
    return len(worker.lines("attempt"))


@on_rabbitmq
async def test_events_arrive_while_the_broker_is_frozen(scene: FleetScene, rabbit: RabbitServer) -> None:
    await scene.register()
    await scene.start_worker(**STAYING).ready()
    await warmed(scene)
    rabbit.freeze()
    try:
        async with Publisher(scene.settings) as publisher:
            for number in range(20):
                await publisher.apublish(order_paid(id=f"e-{number}"))
        await eventually(scene.receiver.got(21), "they arrive by the ledger")
    finally:
        rabbit.thaw()
    await balanced(scene.ledger)


@on_both_brokers
async def test_a_worker_leaves_after_a_quiet_time_and_the_next_event_comes_by_the_broker(scene: FleetScene) -> None:
    await scene.register()
    await scene.start_worker(EDW_OBSERVER_IDLE="100ms", EDW_ANNOUNCE_SECONDS="600s").ready()
    for number in range(1, 3):
        await scene.publish(id=f"e-{number}")
        await eventually(scene.receiver.got(number), "it arrives")
        await registered(scene.ledger, 0)


async def test_a_worker_that_is_killed_loses_no_event_that_waited_for_it(scene: FleetScene) -> None:
    await scene.register()
    # Frozen, it takes one event and no more; killed, it has the event that it took.
    first = await scene.start_worker(EDW_OBSERVER_IDLE="600s").ready()
    await warmed(scene)
    freeze(first.pid)
    async with Publisher(scene.settings) as publisher:
        for number in range(20):
            await publisher.apublish(order_paid(id=f"e-{number}"))
    assert await inspection.events_for_hot_observers(scene.ledger)
    first.kill()

    await scene.start_worker().ready()
    await eventually(lambda: succeeded(scene.ledger, 21), "another worker delivers them")
    assert len({each.body["id"] for each in scene.receiver.received}) == 21
    await balanced(scene.ledger)


async def test_events_spread_over_the_fleet_and_a_worker_that_hangs_delays_none_but_its_own(scene: FleetScene) -> None:
    await scene.register()
    workers = [await scene.start_worker(EDW_OBSERVER_IDLE="600s", EDW_SWEEP_SECONDS="50ms").ready() for _ in range(3)]
    await warmed(scene)

    async def spread() -> bool:
        await scene.publish()
        return all(delivered_by(worker) > 1 for worker in workers)

    await eventually(spread, "each of them delivers")
    freeze(workers[0].pid)
    try:
        hung, sent = delivered_by(workers[0]), 0
        async with Publisher(scene.settings) as publisher:
            for sent in range(1, 31):
                await publisher.apublish(order_paid(id=f"e-{sent}"))
        await eventually(lambda: arrived(scene.receiver, sent), "the others deliver them")
        assert delivered_by(workers[0]) == hung
    finally:
        thaw(workers[0].pid)
    await balanced(scene.ledger)


def arrived(receiver: Receiver, count: int) -> bool:
    return len({each.body["id"] for each in receiver.received if each.body["id"].startswith("e-")}) == count


async def test_a_worker_without_a_free_slot_is_not_registered_and_another_one_takes_the_events(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    await register()
    receiver.holds["e-0"] = asyncio.Event()
    await start_worker(**STAYING, EDW_MAX_IN_FLIGHT="1").ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid(id="e-0"))
        await eventually(receiver.got(1), "its one slot is taken")
        await registered(ledger, 0)
        await start_worker(EDW_OBSERVER_IDLE="600s").ready()
        await publisher.apublish_many(order_paid(id=f"e-{number}") for number in range(1, 6))
        await eventually(receiver.got(6), "the other one delivers")
    receiver.holds["e-0"].set()
    await eventually(lambda: succeeded(ledger, 6), "all are delivered")
    await balanced(ledger)


async def test_a_worker_that_stops_leaves_what_waits_to_the_next_one(scene: FleetScene) -> None:
    await scene.register()
    first = await scene.start_worker(**STAYING).ready()
    await warmed(scene)
    assert await first.stop() == 0
    assert await inspection.hot_observers(scene.ledger) == 0
    await scene.publish(id="second")
    await scene.start_worker(**STAYING).ready()
    await eventually(scene.receiver.got(2), "the broker announced it")
    await balanced(scene.ledger)


async def test_the_setting_disables_it(scene: FleetScene) -> None:
    await scene.register()
    await scene.start_worker(EDW_OBSERVER_IDLE="0s", EDW_ANNOUNCE_SECONDS="600s").ready()
    for number in range(1, 3):
        await scene.publish(id=f"e-{number}")
        await eventually(scene.receiver.got(number), "it arrives")
        assert await inspection.hot_observers(scene.ledger) == 0
