"""A receiver that fails and comes back: its circuit opens, nothing is spent on it meanwhile, and everything arrives."""

import subprocess
import sys

from config.settings import Settings
from tests.fleet.ledger_state import balanced
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.publisher import Publisher

EVENTS = 30


async def test_a_circuit_opens_spends_nothing_and_closes_when_the_receiver_is_back(
    start_worker: StartWorker,
    receiver: Receiver,
    register: Register,
    ledger: Ledger,
    settings: Settings,
    environment: dict[str, str],
) -> None:
    receiver.answers = [500] * 1_000
    integration = await register()
    worker = await start_worker(
        EDW_CIRCUIT_FAILURES="5", EDW_CIRCUIT_PAUSES="1s", EDW_LANE_CAP="1", EDW_RETRY_SCHEDULE="100ms 1h"
    ).ready()
    with Publisher(settings) as publisher:
        for number in range(EVENTS):
            publisher.publish(order_paid(id=f"e-{number}"))
    await eventually(lambda: worker.said("circuit opened"), "the circuit opens")
    (shown,) = await ledger.integrations.get([integration.id])
    assert shown.circuit in ("open", "half")
    status = subprocess.run(  # noqa: ASYNC221  (what a person sees, while the circuit is open)
        [sys.executable, "-m", "worker.cli", "status"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "circuit" in status
    spent = (await ledger.status.read()).counter("attempts")
    # A few probes later.
    await eventually(lambda: worker.log.read_text().count("circuit opened") >= 3, "probes fail, and it stays open")
    assert (await ledger.status.read()).counter("attempts") - spent <= 4
    assert (await ledger.status.read()).pending == EVENTS

    receiver.answers = []
    await ledger.redelivery.redeliver(
        [job.id for job in (await ledger.jobs.of_integration(integration.id, 0, EVENTS)).items]
    )
    await eventually(lambda: worker.said("circuit closed"), "the receiver is back")
    await eventually(lambda: _delivered(ledger), "everything arrives")
    assert {each.body["id"] for each in receiver.received} == {f"e-{number}" for number in range(EVENTS)}
    await balanced(ledger)


async def _delivered(ledger: Ledger) -> bool:
    return (await ledger.status.read()).counter("succeeded") == EVENTS
