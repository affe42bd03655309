"""An event through a real worker to ActiveMQ, which is away at first, and what the logs say of it."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from config.settings import Settings
from tests.counterparts.activemq import ActiveServer
from tests.counterparts.server import require
from tests.counterparts.stomp import read_all
from tests.fleet.ledger_state import balanced, logged, logs_of
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.samples import order_paid
from tests.waiting import eventually
from worker.domain.secrets_box import SecretsBox
from worker.ledger import Ledger
from worker.publisher import Publisher


@pytest.fixture
def active() -> Iterator[ActiveServer]:
    """A broker with an address, not started yet."""
    require(ActiveServer)
    server = ActiveServer()
    yield server
    server.remove()


async def test_an_event_becomes_a_message_once_its_broker_is_there(
    start_worker: StartWorker, active: ActiveServer, register: Register, ledger: Ledger, settings: Settings
) -> None:
    configuration = {
        "username": "tester",
        "password": "s3cret",
        "destination": "/queue/test.orders",
        "addresses": [f"stomp+ssl://localhost:{active.tls}"],
    }
    sealed = SecretsBox(settings.secrets_keys).seal(configuration, ["password"])
    integration = await register(integration_type="stomp", configuration=sealed)
    worker = await start_worker(
        EDW_TLS_CA_FILE=str(active.files.ca),
        EDW_EGRESS_ALLOW="127.0.0.0/8 ::1/128",
        # ActiveMQ takes seconds to start, and half a minute on a busy machine.
        EDW_RETRY_SCHEDULE=f"300ms{45 * ' 1s'}",
    ).ready()

    async with Publisher(settings) as publisher:
        await publisher.apublish_many([order_paid(id=f"e-{n}", included={"n": n}) for n in range(14)])
        flat = order_paid(id="flat", payload={"purpose": "reset", "included": "flat"})
        await publisher.apublish({name: each for name, each in flat.items() if name != "data"})
    await eventually(lambda: logged(ledger, integration.id, 15), "every first attempt is logged")
    await asyncio.to_thread(active.start)
    logs = await eventually(lambda: logged(ledger, integration.id, 15, succeeded=True), "every event is delivered")

    failures = [log for log in await logs_of(ledger, integration.id) if not log.succeeded]
    assert {log.error_detail.partition(" (")[0] for log in failures if log.attempt == 1} == {
        f"connection refused by localhost:{active.tls}"
    }
    assert {(log.status_code, log.body, log.error_detail) for log in logs} == {(None, "", "")}
    messages = await asyncio.to_thread(read_all, active.plain, "/queue/test.orders")
    bodies = [json.loads(message.body) for message in messages]
    assert {body["id"]: body["data"]["included"] for body in bodies} == {f"e-{n}": {"n": n} for n in range(14)} | {
        "flat": "flat"
    }
    assert {message.headers["job_id"] for message in messages} == {log.job_id for log in logs}
    assert not worker.said("s3cret")
    await balanced(ledger)
