"""Receivers that hang take a part of a worker, and no more: everybody else is served."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from config.settings import Settings
from tests.contract.receivers import raw_receiver, silent
from tests.fleet.ledger_state import succeeded
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.publisher import Publisher

HANGING = 30
EVENTS = 40
SLOTS = 20
#: There are more that hang than a worker has slots, and each holds on for a minute. No lease runs out meanwhile.
CROWDED = {
    "EDW_LEASE_SECONDS": "60",
    "EDW_MAX_IN_FLIGHT": str(SLOTS),
    "EDW_WEBHOOK_TIMEOUT": "60s",
    "EDW_DRAIN_SECONDS": "0",
    "EDW_CELERY_THREADS": "2",
}


class Hanging:
    """A receiver that never answers; it knows how many wait for that."""

    waiting = 0

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.waiting += 1
        try:
            await silent(reader, writer)
        finally:
            self.waiting -= 1

    def holds(self, count: int) -> Callable[[], bool]:
        return lambda: self.waiting >= count


async def register_hanging(stack: AsyncExitStack, register: Register, *types: str) -> Hanging:
    """Register as many receivers that hang for each type of events; for `order.created` if none is named."""
    hanging = Hanging()
    port = await stack.enter_async_context(raw_receiver(hanging.script))
    for number in range(HANGING):
        for each in types or ("order.created",):
            url = f"http://127.0.0.1:{port}/{each}/{number}"
            await register(name=f"hangs {number}", configuration={"url": url}, observes=(each,))
    return hanging


async def test_receivers_that_never_answer_starve_nobody(
    start_worker: StartWorker, receiver: Receiver, register: Register, settings: Settings
) -> None:
    async with AsyncExitStack() as stack:
        hanging = await register_hanging(stack, register)
        await register(name="healthy")
        worker = await start_worker(**CROWDED).ready()
        with Publisher(settings) as publisher:
            publisher.publish(order_paid(id="first"))
            await eventually(receiver.got(1), "the healthy one has shown that it is")
            for number in range(5):
                publisher.publish(order_paid(id=f"hangs-{number}", type="order.created"))
            await eventually(hanging.holds(5), "those that hang have what they may have")
            for number in range(EVENTS):
                publisher.publish(order_paid(id=f"e-{number}"))
        await eventually(receiver.got(1 + EVENTS), "the healthy receiver has everything", seconds=20)
        # An eighth is left at the least: each delivery to the healthy one lets one more new lane be tried.
        assert hanging.waiting <= SLOTS - SLOTS // 8
        assert worker.pid


async def test_after_a_restart_those_that_hang_keep_no_slot_from_one_with_nothing_overdue(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    """The new worker knows nothing of anybody, and those that hang are there first, with what they are owed."""
    async with AsyncExitStack() as stack:
        hanging = await register_hanging(stack, register)
        await register(name="healthy")
        worker = start_worker(**CROWDED)
        with Publisher(settings) as publisher:
            for number in range(2):
                publisher.publish(order_paid(id=f"hangs-{number}", type="order.created"))

            async def owed() -> bool:
                return (await ledger.status.read()).counter("opened") == 2 * HANGING

            await eventually(owed, "those that hang have jobs")
            worker.kill()
            await eventually(lambda: not hanging.waiting, "it is gone")
            start_worker(**CROWDED)
            await eventually(hanging.holds(8), "those that hang have what they may have")
            publisher.publish(order_paid(id="first"))
        await eventually(receiver.got(1), "the healthy receiver has its first event", seconds=20)


async def test_after_a_restart_one_that_did_well_before_does_not_wait_for_those_that_hang(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    """Half of the slots hang when its event comes, and the new worker has not tried its receiver."""
    async with AsyncExitStack() as stack:
        hanging = await register_hanging(stack, register, "order.created", "order.updated", "order.cancelled")
        await register(name="healthy")
        worker = start_worker(**CROWDED | {"EDW_WEBHOOK_TIMEOUT": "1s", "EDW_RETRY_SCHEDULE": "1s"})
        with Publisher(settings) as publisher:
            publisher.publish(order_paid(id="before"))
            publisher.publish(order_paid(id="hangs", type="order.created"))
            await eventually(lambda: succeeded(ledger, 1), "the healthy one has shown that it is")

            async def known() -> bool:
                return sum(lane.failing_for > 0 for lane in (await ledger.status.read(lanes=100)).lanes) >= SLOTS // 4

            await eventually(known, "enough of those that hang have failed")
            worker.kill()
            publisher.publish(order_paid(id="hangs too", type="order.updated"))
            await eventually(lambda: not hanging.waiting, "it is gone")
            start_worker(**CROWDED)
            await eventually(hanging.holds(SLOTS // 2 - 1), "those that hang have what they may have")
            # These have nothing overdue, and one of them gets the slot that is reserved for such.
            publisher.publish(order_paid(id="and these", type="order.cancelled"))
            await eventually(hanging.holds(SLOTS // 2), "half of the slots hang")
            publisher.publish(order_paid(id="after"))
        await eventually(receiver.got(2), "the healthy receiver has its event", seconds=20)
