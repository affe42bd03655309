"""What people ask of a lane, and what the fleet does with one by itself, by a real worker and a real receiver."""

import subprocess
import sys
from time import monotonic

import pytest

from config.settings import Settings
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import SCOPE, order_paid
from tests.waiting import eventually
from worker.domain.integration import Integration
from worker.ledger import Ledger
from worker.publisher import Publisher

RATE = 10


@pytest.mark.parametrize(
    ("answer", "why"),
    [(410, "410 Gone"), (500, "nothing but failures for 300 ms, in ")],
    ids=["gone", "broken for too long"],
)
async def test_what_the_fleet_disables_is_an_event_that_others_observe(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    settings: Settings,
    answer: int,
    why: str,
) -> None:
    broken = await register(configuration={"url": f"{receiver.url}/broken"})
    await register(observes=("integration.updated",), configuration={"url": f"{receiver.url}/watcher"})
    receiver.always["/hook/broken"] = answer
    worker = await start_worker(EDW_DISABLE_AFTER="300ms", EDW_DISABLE_ATTEMPTS="3").ready()
    with Publisher(settings) as publisher:
        for n in range(3):
            publisher.publish(order_paid(id=f"e-{n}"))

    def reported() -> list[dict[str, object]]:
        of_changes = [each.body for each in receiver.received if each.body["triggered_by"] == "integration.updated"]
        return [each["payload"]["data"] for each in of_changes]

    await eventually(reported, "an event says that it is disabled")
    (data,) = reported()
    assert (data["id"], data["enabled"]) == (broken.id, False)
    (kept,) = await ledger.integrations.get([broken.id])
    assert why in kept.disabled_reason
    assert data["disabled_reason"] == kept.disabled_reason
    assert worker.said("integration disabled")
    await balanced(ledger)


async def test_a_paused_integration_gets_all_that_it_observed_when_it_is_resumed_at_its_rate(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    settings: Settings,
    environment: dict[str, str],
) -> None:
    paused = await register(paused=True, rate_limit=RATE)
    await start_worker().ready()
    with Publisher(settings) as publisher:
        for n in range(RATE + 1):
            publisher.publish(order_paid(id=f"e-{n}"))
    await eventually(lambda: _pending(ledger, RATE + 1), "its events are matched")
    assert receiver.received == []

    began = monotonic()
    _edw(environment, "resume", paused)
    await eventually(receiver.got(RATE + 1), "it gets them")
    assert monotonic() - began > 0.9
    await eventually(lambda: _pending(ledger, 0), "nothing is pending")
    assert {each.body["id"] for each in receiver.received} == {f"e-{n}" for n in range(RATE + 1)}
    await balanced(ledger)


def _edw(environment: dict[str, str], verb: str, integration: Integration) -> None:
    scope = ["--store", str(SCOPE.store_id), "--org", str(SCOPE.org_id)]
    command = [sys.executable, "-m", "worker.cli", "integrations", verb, integration.id, *scope]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


async def _pending(ledger: Ledger, count: int) -> bool:
    status = await ledger.status.read()
    return (status.inbox, status.pending) == (0, count)
