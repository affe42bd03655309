"""Signals: `celery worker`, `edw worker` and `edw worker --processes 2` stop alike, and lose nothing by it.

The broker matters only where Celery lets go of it. A silent RabbitMQ is tried; a silent Redis is in the test of a
silent store, which is both. The rest is between a process and its ledger.
"""

import asyncio
import signal
from collections.abc import Sequence
from time import monotonic

import pytest

from config.settings import Settings
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.store import StoreServer
from tests.integration.process.conftest import (
    COMMANDS,
    Receiver,
    Register,
    StartWorker,
    WorkerProcess,
    balanced,
    by_each_command,
    eventually,
    on_rabbitmq,
    order_paid,
)
from worker.ledger import Ledger
from worker.publisher import Publisher

#: The drain of a test that shows that nobody waits for it (seconds).
LONG = 60
#: An end that waits for no drain, but for time-outs: of the store, of the broker, and of settling (seconds).
BOUND = 20


async def in_flight(worker: WorkerProcess, receiver: Receiver, register: Register, settings: Settings) -> str:
    """Has the receiver keep an attempt unanswered; answers the integration."""
    receiver.hold = asyncio.Event()
    integration = await register()
    await worker.ready()
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid())
    await eventually(receiver.got(1), "attempt 1 is in flight")
    return integration.id


def answer(receiver: Receiver) -> None:
    """Lets what is kept go, and what comes."""
    assert receiver.hold is not None
    receiver.hold.set()
    receiver.hold = None


async def attempts(books: Ledger, integration_id: str) -> list[tuple[int, bool, str]]:
    logs = (await books.logs.of_integration(integration_id, 0, 5)).items
    return [(log.attempt, log.succeeded, log.error_detail) for log in logs]


async def delivered_by_the_next(
    integration_id: str, start_worker: StartWorker, receiver: Receiver, books: Ledger
) -> str:
    """Another worker delivers by attempt 2; answers why the first one failed."""
    answer(receiver)
    await start_worker().ready()

    async def both() -> bool:
        return len(await attempts(books, integration_id)) == 2

    await eventually(both, "the next worker delivers")
    (second, delivered, _), (first, failed, why) = await attempts(books, integration_id)
    assert (second, delivered, first, failed) == (2, True, 1, False)
    await balanced(books)
    return why


@by_each_command
async def test_sigterm_lets_what_is_in_flight_finish_and_a_second_one_changes_nothing(
    command: str,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    books: Ledger,
    settings: Settings,
) -> None:
    worker = start_worker(command)
    integration = await in_flight(worker, receiver, register, settings)

    worker.tell(signal.SIGTERM)
    await eventually(lambda: worker.said('"worker stops"', COMMANDS[command][1]), "every process begins to stop")
    worker.tell(signal.SIGTERM)
    async with Publisher(settings) as publisher:
        await publisher.apublish(order_paid(id="for the next worker"))
    answer(receiver)

    assert await worker.ends() == 0
    assert await attempts(books, integration) == [(1, True, "")]
    assert [each.body["id"] for each in receiver.received if "next" in each.body["id"]] == []
    assert (await books.status.read()).processes == 0
    await balanced(books)


@pytest.mark.parametrize(
    ("command", "stop"),
    [
        ("celery worker", signal.SIGTERM),
        ("edw worker", signal.SIGINT),
        ("edw worker --processes 2", signal.SIGTERM),
    ],
)
async def test_what_outlives_the_drain_is_interrupted_due_at_once_and_delivered_by_the_next(
    command: str,
    stop: signal.Signals,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    books: Ledger,
    settings: Settings,
) -> None:
    worker = start_worker(command, EDW_DRAIN_SECONDS="0.2")
    integration = await in_flight(worker, receiver, register, settings)

    assert await worker.stop(stop) == 0

    (job,) = (await books.jobs.of_integration(integration, 0, 5)).items
    (log,) = (await books.logs.of_integration(integration, 0, 5)).items
    assert job.due_at is not None
    assert job.due_at <= log.created_at, "due at once, and not by the schedule"
    why = await delivered_by_the_next(integration, start_worker, receiver, books)
    assert "stopped before this attempt was over" in why


@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        ("celery worker", [signal.SIGQUIT]),
        ("edw worker", [signal.SIGINT, signal.SIGINT]),
        ("edw worker --processes 2", [signal.SIGTERM, signal.SIGINT]),
    ],
)
async def test_who_is_in_a_hurry_waits_for_no_drain_and_everything_is_settled(
    command: str,
    numbers: Sequence[signal.Signals],
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    books: Ledger,
    settings: Settings,
) -> None:
    worker = start_worker(command, EDW_DRAIN_SECONDS=str(LONG))
    integration = await in_flight(worker, receiver, register, settings)
    began = monotonic()

    for number in numbers:
        worker.tell(number)
        await eventually(lambda: worker.said('"worker stops"'), "it begins to stop")

    assert await worker.ends() == 0
    assert monotonic() - began < LONG / 2
    ((attempt, succeeded, why),) = await attempts(books, integration)
    assert (attempt, succeeded) == (1, False)
    assert "stopped before this attempt was over" in why
    assert (await books.status.read()).processes == 0
    await balanced(books)


async def test_sigterm_beside_a_silent_store_ends_in_time_and_its_exit_code_tells(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    books: Ledger,
    settings: Settings,
    store: StoreServer,
) -> None:
    worker = start_worker("edw worker --processes 2", EDW_DRAIN_SECONDS="0.2")
    integration = await in_flight(worker, receiver, register, settings)
    store.freeze()
    began = monotonic()

    assert await worker.stop() == 1, "its attempt could not be settled"

    assert monotonic() - began < BOUND
    store.thaw()
    await delivered_by_the_next(integration, start_worker, receiver, books)


@on_rabbitmq
async def test_sigterm_beside_a_silent_rabbitmq_finishes_what_is_in_flight_in_time(
    broker_url: str,
    rabbit: RabbitServer,
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    books: Ledger,
    settings: Settings,
) -> None:
    worker = start_worker()
    integration = await in_flight(worker, receiver, register, settings)
    rabbit.freeze()
    began = monotonic()

    worker.tell(signal.SIGTERM)
    answer(receiver)

    assert await worker.ends() == 0
    assert monotonic() - began < BOUND
    assert await attempts(books, integration) == [(1, True, "")]
    rabbit.thaw()
    await balanced(books)


@by_each_command
async def test_sigterm_before_the_store_has_answered_is_an_end_in_good_order(
    command: str, start_worker: StartWorker, store: StoreServer
) -> None:
    store.stop()
    worker = start_worker(command)
    await eventually(lambda: worker.said("waiting for the "), "it says that it waits")

    began = monotonic()
    assert await worker.stop() == 0
    assert monotonic() - began < BOUND
