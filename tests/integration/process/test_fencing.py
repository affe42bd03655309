"""A worker that was stopped, or cut off from Redis, for longer than its lease sends nothing that others have by now."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from aiohttp import ClientSession

from tests.counterparts.freezing import freeze, thaw
from tests.counterparts.proxy import TcpProxy
from tests.counterparts.redis_server import RedisServer
from tests.fleet.ledger_state import balanced, succeeded
from tests.fleet.processes import WorkerProcess
from tests.fleet.scene import FleetScene
from tests.ledger import surgery
from tests.waiting import eventually
from worker.delivery.attempt_tasks import LOSSES_BEFORE_ALONE

#: An event whose attempt waits in its worker until nothing else is in flight there.
WAITS = {"id": "waits", "type": "order.created"}


@dataclass(frozen=True)
class Absence:
    """How a worker is kept from its heartbeat."""

    begin: Callable[[], None]
    end: Callable[[], None]


def absence(way: str, worker: WorkerProcess, proxy: TcpProxy) -> Absence:
    if way == "stopped":
        return Absence(lambda: freeze(worker.pid), lambda: thaw(worker.pid))

    def cut_off() -> None:
        proxy.resetting = True
        proxy.reset()

    def restore() -> None:
        proxy.resetting = False

    return Absence(cut_off, restore)


async def shows(worker: WorkerProcess, sample: str) -> bool:
    """Return whether the worker's metrics have a sample now."""
    async with ClientSession() as client, client.get(f"{worker.probe}/metrics") as answer:
        return sample in (await answer.text()).splitlines()


async def fenced(worker: WorkerProcess) -> bool:
    """Return whether the worker has given a job back unsent."""
    return await shows(worker, "edw_attempts_fenced_total 1.0")


async def holds_one_and_one_waits(scene: FleetScene, worker: WorkerProcess) -> asyncio.Event:
    """Have attempt 1 of "held" in flight, and attempt 1 of "waits" claimed and not sent; the event ends the first."""
    await scene.holds_one(worker)
    hold, scene.receiver.hold = scene.receiver.hold, None
    assert hold is not None
    second = await scene.register(observes=(WAITS["type"],), paused=True)
    await scene.publish(**WAITS)

    async def opened() -> str | None:
        jobs = (await scene.ledger.jobs.of_integration(second.id, 0, 1)).items
        return jobs[0].id if jobs else None

    # An attempt of a job that may kill its worker runs alone.
    await surgery.put_losses(scene.ledger, await eventually(opened, "the job is opened"), LOSSES_BEFORE_ALONE)
    await scene.ledger.integrations.put(replace(second, paused=False), renewed=False)
    # The worker knows that it has leased both: a reply that it reads only after its absence counts as lost.
    await eventually(lambda: shows(worker, "edw_in_flight 2.0"), "the second job is claimed")
    return hold


def attempts_of(scene: FleetScene, event_id: str) -> list[int]:
    return [each.body["attempt"] for each in scene.receiver.received if each.body["id"] == event_id]


@pytest.mark.parametrize("way", ["stopped", "cut off"])
async def test_a_worker_that_was_away_for_longer_than_its_lease_sends_nothing_and_goes_on_later(
    way: str, scene: FleetScene, redis_server: RedisServer
) -> None:
    async with TcpProxy(redis_server.port) as proxy:
        away = scene.start_worker(EDW_REDIS_URL=redis_server.url_at(proxy.port))
        hold = await holds_one_and_one_waits(scene, away)
        absent = absence(way, away, proxy)
        absent.begin()
        other = await scene.start_worker().ready()
        await eventually(lambda: attempts_of(scene, "waits") == [2], "another worker has taken the job over")
        await eventually(lambda: succeeded(scene.ledger, 2), "and has delivered both")

        # Its attempt ends and can be settled, so the one that waited for it would begin.
        hold.set()
        absent.end()
        await eventually(lambda: fenced(away), "the attempt is given back")
        assert await other.stop() == 0
        await scene.publish(id="later")
        await eventually(lambda: attempts_of(scene, "later") == [1], "the worker goes on")
        assert attempts_of(scene, "waits") == [2]
        assert await away.stop() == 0
    await balanced(scene.ledger)
