"""Receivers that hang take a part of a worker, and no more: everybody else is served."""

from contextlib import AsyncExitStack

from config.settings import Settings
from tests.contract.receivers import raw_receiver, silent
from tests.integration.process.conftest import Receiver, Register, StartWorker, eventually, order_paid
from worker.ledger import Ledger
from worker.publisher import Publisher

HANGING = 30
EVENTS = 40


async def test_receivers_that_never_answer_starve_nobody(
    start_worker: StartWorker, receiver: Receiver, register: Register, books: Ledger, settings: Settings
) -> None:
    """There are more of them than the worker has slots, and each holds on for a minute."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(raw_receiver(silent))
        for number in range(HANGING):
            url = f"http://127.0.0.1:{port}/{number}"
            await register(name=f"hangs {number}", configuration={"url": url}, observes=("order.created",))
        await register(name="healthy")
        worker = await start_worker(
            EDW_MAX_IN_FLIGHT="20", EDW_WEBHOOK_TIMEOUT="60s", EDW_DRAIN_SECONDS="0", EDW_CELERY_THREADS="2"
        ).ready()
        with Publisher(settings) as publisher:
            publisher.publish(order_paid(id="first"))
            await eventually(receiver.got(1), "the healthy one has shown that it is")
            for number in range(5):
                publisher.publish(order_paid(id=f"hangs-{number}", type="order.created"))

            async def taken() -> bool:
                return sum(lane.leased for lane in (await books.status.read()).lanes) >= 5

            await eventually(taken, "those that hang have what they may have")
            for number in range(EVENTS):
                publisher.publish(order_paid(id=f"e-{number}"))
        await eventually(receiver.got(1 + EVENTS), "the healthy receiver has everything", seconds=20)
        leased = sum(lane.leased for lane in (await books.status.read()).lanes)
        assert leased <= 10
        assert worker.pid
