"""Two builds on one ledger: this code, and this code with a higher minor version and one more field."""

import asyncio
import gc
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import pytest

from tests.fleet.ledger_state import balanced
from tests.fleet.newer_build import newer_build
from tests.fleet.processes import WorkerProcess
from tests.fleet.producers import ForeignProducer
from tests.fleet.scene import FleetScene
from tests.fleet.variants import on_both_brokers
from tests.ledger import inspection, surgery
from tests.samples import order_paid
from tests.waiting import PATIENCE, eventually
from worker.domain.format_version import FORMAT, MINOR
from worker.domain.integration import Integration
from worker.ledger import LedgerFormatError
from worker.publisher import Publisher

NEWER = MINOR + 1
#: No process is killed here, and a busy machine may keep one from its heartbeat for a while.
ALIVE = {"EDW_LEASE_SECONDS": "15"}


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Variables that make a process run the newer build."""
    return newer_build(tmp_path_factory.mktemp("newer"))


async def in_force(scene: FleetScene, minor: int) -> None:
    """Wait until a minor version is in force."""

    async def reached() -> bool:
        await scene.ledger.membership.read()
        return scene.ledger.membership.in_force == minor

    await eventually(reached, f"minor version {minor} is in force")


async def describe(environment: Mapping[str, str], newer: Mapping[str, str], integration: Integration) -> None:
    """A person changes an integration with the newer build's command."""
    words = [sys.executable, "-m", "worker.cli", "integrations", "update", integration.id, "--description", "newer"]
    done = await asyncio.to_thread(
        subprocess.run, words, env={**environment, **newer}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def document(scene: FleetScene, integration: Integration) -> dict[str, object]:
    stored = await inspection.stored_integration(scene.ledger, integration.id)
    return msgspec.json.decode(stored, type=dict[str, object])


async def publish_until(over: asyncio.Event, scene: FleetScene) -> list[str]:
    ids: list[str] = []
    async with Publisher(scene.settings) as publisher:
        while not over.is_set():
            batch = [order_paid(id=f"e-{len(ids) + n}") for n in range(5)]
            await publisher.apublish_many(batch)
            ids += [str(each["id"]) for each in batch]
            await asyncio.sleep(0.02)
    return ids


async def everything_arrived_once(scene: FleetScene, ids: list[str], integrations: int) -> None:
    async def settled() -> bool:
        status = await scene.ledger.status.read()
        return status.inbox == 0 and status.pending == 0

    await eventually(settled, "everything is delivered")
    seen = Counter(str(each.body["id"]) for each in scene.receiver.received)
    assert {event: count for event, count in seen.items() if event in set(ids)} == dict.fromkeys(ids, integrations)
    status = await scene.ledger.status.read()
    assert status.counter("attempts") == status.counter("succeeded")
    assert status.rejected == 0
    await balanced(scene.ledger)


@pytest.mark.parametrize("first", ["this build", "the newer build"])
async def test_both_builds_deliver_under_load_whichever_was_there_first(
    scene: FleetScene, newer: Mapping[str, str], environment: dict[str, str], first: str
) -> None:
    integration = await scene.register()
    builds: dict[str, Mapping[str, str]] = {"this build": {}, "the newer build": newer}
    second = next(name for name in builds if name != first)
    one = await scene.start_worker("edw worker", **ALIVE, **builds[first]).ready()
    over = asyncio.Event()
    publishing = asyncio.create_task(publish_until(over, scene))
    await in_force(scene, NEWER if first == "the newer build" else MINOR)
    other = await scene.start_worker("edw worker", **ALIVE, **builds[second]).ready()
    await in_force(scene, MINOR)
    members = await scene.ledger.membership.members()
    assert [each.minor for each in members] == [MINOR, NEWER]
    # What the newer build writes now, both understand.
    await describe(environment, newer, integration)
    assert "flavour" not in await document(scene, integration)
    now = len(scene.receiver.received)
    await eventually(scene.receiver.got(now + 100), "deliveries go on")
    old, new = (one, other) if first == "this build" else (other, one)
    assert await old.stop() == 0
    await in_force(scene, NEWER)
    await describe(environment, newer, integration)
    assert (await document(scene, integration))["flavour"] == "vanilla"
    # A roll back: the older build meets what it does not understand, and leaves it to the newer one.
    back = await scene.start_worker("edw worker", **ALIVE).ready()
    now = len(scene.receiver.received)
    await eventually(scene.receiver.got(now + 100), "deliveries go on")
    over.set()
    ids = await publishing
    await everything_arrived_once(scene, ids, 1)
    assert await back.stop() == 0
    assert await new.stop() == 0


async def test_what_only_a_newer_build_understands_waits_for_one(
    scene: FleetScene, newer: Mapping[str, str], environment: dict[str, str]
) -> None:
    integration = await scene.register()
    new = await scene.start_worker("edw worker", **ALIVE, **newer).ready()
    await in_force(scene, NEWER)
    await describe(environment, newer, integration)
    assert await new.stop() == 0
    old = await scene.start_worker("edw worker", **ALIVE).ready()
    await scene.publish(id="for all")
    await scene.put_in_intake(order_paid(id="for newer ones", edw_minor=NEWER))
    await eventually(lambda: old.said('"kind":"event"') and old.said('"kind":"message"'), "it leaves both")
    status = await scene.ledger.status.read()
    assert (status.counter("attempts"), status.rejected) == (0, 0)
    assert status.inbox > 0
    # An older build's edit keeps what it does not know.
    (found,) = await scene.ledger.integrations.get([integration.id])
    await scene.ledger.integrations.put(replace(found, name="renamed"), found.revision, renewed=False)
    assert (await document(scene, integration))["flavour"] == "vanilla"
    (found,) = await scene.ledger.integrations.get([integration.id])
    assert await scene.ledger.integrations.reseal(found, found)
    kept = await document(scene, integration)
    assert (kept["flavour"], kept["minor"], kept["name"]) == ("vanilla", NEWER, "renamed")
    await scene.start_worker("edw worker", **ALIVE, **newer).ready()
    await eventually(scene.receiver.got(2), "the newer build delivers both")
    await everything_arrived_once(scene, ["for all", "for newer ones"], 1)


@on_both_brokers
async def test_messages_that_need_a_newer_build_go_round_in_their_queue_until_one_takes_them(
    broker_url: str | None, scene: FleetScene, newer: Mapping[str, str], producer: ForeignProducer
) -> None:
    await scene.register()
    old = await scene.start_worker("edw worker", **ALIVE).ready()
    producer.send(kwargs={"events": [order_paid(id="fine"), order_paid(id="newer", edw_minor=NEWER)]})
    producer.send(kwargs={"v": 1, "minor": NEWER, "events": [order_paid(id="of a newer producer")]})
    await eventually(lambda: left_by(old), "it leaves a message")
    # Others are not held up.
    producer.send(kwargs={"v": 1, "events": [order_paid(id="known")]})
    await eventually(scene.receiver.got(1), "what it understands is delivered")
    assert [each.body["id"] for each in scene.receiver.received] == ["known"]
    assert (await scene.ledger.status.read()).rejected == 0
    await scene.start_worker("edw worker", **ALIVE, **newer).ready()
    await eventually(scene.receiver.got(4), "the newer build takes them")
    await everything_arrived_once(scene, ["fine", "newer", "of a newer producer", "known"], 1)


async def test_workers_that_meet_a_newer_format_claim_nothing_more_and_say_so(scene: FleetScene) -> None:
    await scene.register()
    worker = await scene.start_worker("edw worker", **ALIVE).ready()
    await surgery.set_format(scene.ledger, FORMAT + 1)
    await eventually(
        lambda: worker.said(f"has format {FORMAT + 1}, and this version uses format {FORMAT}"), "it says so"
    )
    with pytest.raises(LedgerFormatError, match="update this process"):
        await scene.publish(id="refused")
    # A publisher that is refused leaves no connection open: else this warns.
    gc.collect()
    await eventually(lambda: "format of another version" in text_of(f"{worker.probe}/readyz"), "it is not ready")
    await surgery.set_format(scene.ledger, FORMAT)
    await scene.publish(id="e-1")
    await eventually(scene.receiver.got(1), "it goes on when the format is its own again")


def left_by(worker: WorkerProcess) -> bool:
    """Return whether a worker has left a message to newer ones."""
    return worker.said('"left to a newer version"') or worker.fail_if_ended()


def text_of(url: str) -> str:
    """Return the body of an answer, whatever its status."""
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return str(answer.read())
    except HTTPError as error:
        return error.read().decode()


def test_the_newer_build_has_every_change_of_a_release(tmp_path: Path) -> None:
    newer_build(tmp_path)
    assert f"MINOR = {NEWER}" in (tmp_path / "worker/domain/format_version.py").read_text()
