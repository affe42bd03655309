"""Signals: `celery worker`, `edw worker` and `edw worker --processes 2` stop alike, and lose nothing by it.

The broker matters only where Celery lets go of it. A silent RabbitMQ is tried; a silent Redis is in the test of a
silent Redis, which is both. The rest is between a process and its ledger.
"""

import asyncio
import signal
from collections.abc import Sequence

import pytest

from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced, counted
from tests.fleet.processes import StartWorker
from tests.fleet.scene import FleetScene
from tests.fleet.variants import COMMANDS, by_each_command, on_rabbitmq
from tests.ledger import inspection
from tests.samples import order_paid
from tests.waiting import PATIENCE, eventually
from worker.publisher import Publisher

#: The drain of a test that shows that nobody waits for it (seconds).
LONG = 10 * PATIENCE
#: Events, and the integrations that observe each: they take seconds to observe.
EVENTS, FAN_OUT = 60, 400


async def attempts(scene: FleetScene, integration_id: str) -> list[tuple[int, bool, str]]:
    logs = (await scene.ledger.logs.of_integration(integration_id, 0, 5)).items
    return [(log.attempt, log.succeeded, log.error_detail) for log in logs]


async def delivered_by_the_next(scene: FleetScene, integration_id: str) -> str:
    """Another worker delivers by attempt 2; answers why the first one failed."""
    scene.answer()
    await scene.start_worker().ready()

    async def both() -> bool:
        return len(await attempts(scene, integration_id)) == 2

    await eventually(both, "the next worker delivers")
    (second, delivered, _), (first, failed, why) = await attempts(scene, integration_id)
    assert (second, delivered, first, failed) == (2, True, 1, False)
    await balanced(scene.ledger)
    return why


@by_each_command
async def test_sigterm_lets_what_is_in_flight_finish_and_a_second_one_changes_nothing(
    command: str, scene: FleetScene
) -> None:
    worker = scene.start_worker(command)
    integration = await scene.holds_one(worker)

    worker.signal(signal.SIGTERM)
    await eventually(lambda: worker.said('"worker stops"', COMMANDS[command][1]), "every process begins to stop")
    worker.signal(signal.SIGTERM)
    await scene.publish(id="for the next worker")
    scene.answer()

    assert await worker.ends() == 0
    assert await attempts(scene, integration.id) == [(1, True, "")]
    assert [each.body["id"] for each in scene.receiver.received] == ["held"]
    assert (await scene.ledger.status.read()).processes == 0
    await balanced(scene.ledger)


@pytest.mark.parametrize(
    ("command", "stop"),
    [
        ("celery worker", signal.SIGTERM),
        ("edw worker", signal.SIGINT),
        ("edw worker --processes 2", signal.SIGTERM),
    ],
)
async def test_what_outlives_the_drain_is_interrupted_due_at_once_and_delivered_by_the_next(
    command: str, stop: signal.Signals, scene: FleetScene
) -> None:
    worker = scene.start_worker(command, EDW_DRAIN_SECONDS="0.2")
    integration = await scene.holds_one(worker)

    assert await worker.stop(stop) == 0

    (job,) = (await scene.ledger.jobs.of_integration(integration.id, 0, 5)).items
    (log,) = (await scene.ledger.logs.of_integration(integration.id, 0, 5)).items
    assert job.due_at is not None
    assert job.due_at <= log.created_at, "due at once, and not by the schedule"
    assert "stopped before this attempt was over" in await delivered_by_the_next(scene, integration.id)


@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        ("celery worker", [signal.SIGQUIT]),
        ("edw worker", [signal.SIGINT, signal.SIGINT]),
        ("edw worker --processes 2", [signal.SIGTERM, signal.SIGINT]),
    ],
)
async def test_who_is_in_a_hurry_waits_for_no_drain_and_everything_is_settled(
    command: str, numbers: Sequence[signal.Signals], scene: FleetScene
) -> None:
    worker = scene.start_worker(command, EDW_DRAIN_SECONDS=str(LONG))
    integration = await scene.holds_one(worker)

    for number in numbers:
        worker.signal(number)
        await eventually(lambda: worker.said('"worker stops"'), "it begins to stop")

    assert await worker.ends() == 0
    ((attempt, succeeded, why),) = await attempts(scene, integration.id)
    assert (attempt, succeeded) == (1, False)
    assert "stopped before this attempt was over" in why
    assert (await scene.ledger.status.read()).processes == 0
    await balanced(scene.ledger)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
async def test_a_stop_ends_a_large_fan_out_at_the_next_chunk_and_the_next_worker_finishes_it(
    number: signal.Signals, scene: FleetScene
) -> None:
    # Their jobs are opened and not claimed.
    await asyncio.gather(*(scene.register(paused=True) for _ in range(FAN_OUT)))
    async with Publisher(scene.settings) as publisher:
        await publisher.apublish_many([order_paid(id=f"e-{n}") for n in range(EVENTS)])
    worker = scene.start_worker("edw worker", EDW_DRAIN_SECONDS=str(LONG))
    await eventually(lambda: counted(scene.ledger, "opened", 1), "the fan-out has begun")

    assert await worker.stop(number) == 0

    status = await scene.ledger.status.read()
    assert status.inbox > 0, "not everything was observed"
    assert status.processes == 0
    assert await inspection.observers(scene.ledger) == set(), "nothing was lost with the worker"
    await scene.start_worker().ready()
    await eventually(lambda: counted(scene.ledger, "matched", EVENTS), "the next worker goes on")
    assert (await scene.ledger.status.read()).counter("opened") == EVENTS * FAN_OUT
    await balanced(scene.ledger)


async def test_sigterm_beside_a_silent_redis_ends_in_time_and_its_exit_code_says_so(
    scene: FleetScene, redis_server: RedisServer
) -> None:
    worker = scene.start_worker("edw worker --processes 2", EDW_DRAIN_SECONDS="0.2")
    integration = await scene.holds_one(worker)
    redis_server.freeze()

    assert await worker.stop() == 1, "its attempt could not be settled"

    redis_server.thaw()
    await delivered_by_the_next(scene, integration.id)


@on_rabbitmq
async def test_sigterm_beside_a_silent_rabbitmq_finishes_what_is_in_flight_in_time(
    broker_url: str, rabbit: RabbitServer, scene: FleetScene
) -> None:
    worker = scene.start_worker()
    integration = await scene.holds_one(worker)
    rabbit.freeze()

    worker.signal(signal.SIGTERM)
    scene.answer()

    assert await worker.ends() == 0
    assert await attempts(scene, integration.id) == [(1, True, "")]
    rabbit.thaw()
    await balanced(scene.ledger)


@by_each_command
async def test_sigterm_before_redis_has_answered_is_an_end_in_good_order(
    command: str, start_worker: StartWorker, redis_server: RedisServer
) -> None:
    redis_server.stop()
    worker = start_worker(command)
    await eventually(lambda: worker.said("waiting for the "), "it says that it waits")

    assert await worker.stop() == 0
