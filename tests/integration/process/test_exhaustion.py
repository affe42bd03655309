"""A worker that lacks a resource of its own: receivers are not blamed for it, and nothing of what is owed is spent."""

import asyncio
import json
import re

import pytest
from aiohttp import ClientSession

from tests.counterparts.limits import leave_all_files, leave_files
from tests.counterparts.ports import free_port
from tests.fleet.ledger_state import balanced, counted, logs_of, succeeded
from tests.fleet.processes import WorkerProcess
from tests.fleet.scene import FleetScene
from tests.waiting import eventually
from worker.domain.integration import Integration

INTEGRATIONS = 60
#: Circuits that would open by anything that counts as a failure.
TOUCHY = {"EDW_CIRCUIT_FAILURES": "2", "EDW_CIRCUIT_SHARE": "0.1", "EDW_MAX_IN_FLIGHT": "200"}


async def metrics(worker: WorkerProcess) -> dict[str, float]:
    async with ClientSession() as client, client.get(f"{worker.probe}/metrics") as answer:
        lines = re.findall(r"^(edw_\S+) (\S+)$", await answer.text(), re.MULTILINE)
    return {name: float(value) for name, value in lines}


def lacks(worker: WorkerProcess) -> list[dict[str, object]]:
    lines = worker.log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if '"own resource exhausted"' in line and '"edw.delivery"' in line]


async def fanned_out(scene: FleetScene, worker: WorkerProcess) -> list[Integration]:
    """Integrations that all observe one event, and a worker whose every other connection is open by now."""
    await worker.ready()
    await scene.publish(id="unobserved")
    await eventually(lambda: counted(scene.ledger, "unmatched", 1), "it observes events")
    return [await scene.register(configuration={"url": f"{scene.receiver.url}/{n}"}) for n in range(INTEGRATIONS)]


async def nothing_was_spent(scene: FleetScene, integrations: list[Integration]) -> None:
    for integration in integrations:
        assert [(log.attempt, log.succeeded) for log in await logs_of(scene.ledger, integration.id)] == [(1, True)]
    assert {each.body["attempt"] for each in scene.receiver.received} == {1}
    assert (await scene.ledger.status.read()).counter("attempts") == len(integrations)
    await balanced(scene.ledger)


@pytest.mark.parametrize("more", [0, 12])
async def test_without_files_no_attempt_is_spent_and_everything_arrives_once_there_are_some(
    more: int, scene: FleetScene
) -> None:
    worker = scene.start_worker(**TOUCHY)
    integrations = await fanned_out(scene, worker)
    scene.receiver.hold = asyncio.Event()
    leave_files(worker.pid, more)

    await scene.publish(id="e-1")
    await eventually(lambda: lacks(worker), "it says what it lacks")
    assert len(scene.receiver.received) <= more
    leave_all_files(worker.pid)
    seen = await metrics(worker)
    scene.answer()

    await eventually(lambda: succeeded(scene.ledger, INTEGRATIONS), "all are delivered")
    await nothing_was_spent(scene, integrations)
    assert seen['edw_local_exhaustion_total{resource="files"}'] > 0
    assert seen['edw_attempts_total{integration_type="webhook",outcome="unreachable"}'] == 0
    assert seen["edw_in_flight_limit"] < 200
    assert not any(value for name, value in seen.items() if name.startswith("edw_circuit_changes_total"))
    assert {(each["level"], each["resource"]) for each in lacks(worker)} == {("error", "files")}
    assert await worker.stop() == 0


async def test_with_few_files_everything_arrives_by_a_few_connections_and_the_cap_rises_again(
    scene: FleetScene,
) -> None:
    worker = scene.start_worker(**TOUCHY)
    integrations = await fanned_out(scene, worker)
    scene.receiver.pause = 0.05
    leave_files(worker.pid, 16)

    await scene.publish(id="e-1")

    await eventually(lambda: succeeded(scene.ledger, INTEGRATIONS), "all are delivered")
    await nothing_was_spent(scene, integrations)
    leave_all_files(worker.pid)
    low = (await metrics(worker))["edw_in_flight_limit"]
    assert low < 200
    for n in range(2):
        await scene.publish(id=f"more-{n}")
    await eventually(lambda: succeeded(scene.ledger, 3 * INTEGRATIONS), "more are delivered")
    assert (await metrics(worker))["edw_in_flight_limit"] > low
    assert await worker.stop() == 0


async def test_a_receiver_that_is_down_still_spends_attempts_beside_it(scene: FleetScene) -> None:
    worker = scene.start_worker()
    await fanned_out(scene, worker)
    down = await scene.register(configuration={"url": f"http://127.0.0.1:{free_port()}/"})

    await scene.publish(id="e-1")

    await eventually(lambda: _failed(scene, down), "its attempts fail, and count")
    assert lacks(worker) == []


async def _failed(scene: FleetScene, integration: Integration) -> bool:
    logs = await logs_of(scene.ledger, integration.id)
    return len(logs) == 4 and all("connection refused" in log.error_detail for log in logs)
