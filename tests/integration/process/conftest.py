"""A ledger with the settings of the processes under test, integrations in it, and APIs and producers to start."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.processes import ApiProcess, StartApi, StartWorker
from tests.fleet.producers import ForeignProducer
from tests.fleet.scene import FleetScene, Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import an_integration
from worker.domain.integration import Integration
from worker.ledger import Ledger, LedgerPolicy


@pytest.fixture
def producer(redis_server: RedisServer, broker_url: str | None) -> Iterator[ForeignProducer]:
    """On the broker of the test."""
    made = ForeignProducer(broker_url or redis_server.url)
    yield made
    made.app.close()


@pytest.fixture
def start_api(environment: dict[str, str], tmp_path: Path) -> Iterator[StartApi]:
    """Starts `edw api` on any free port: `start_api("--processes", "2", EDW_…="…")`."""
    started: list[ApiProcess] = []

    def start(*arguments: str, files: int | None = None, **changes: str) -> ApiProcess:
        log = tmp_path / f"api-{len(started)}.log"
        process = ApiProcess(arguments, environment | {"EDW_API_PORT": "0"} | changes, log, files)
        started.append(process)
        return process

    yield start
    for each in started:
        each.end()


@pytest.fixture
async def ledger(settings: Settings, redis_server: RedisServer) -> AsyncIterator[Ledger]:
    """The ledger, to look into and to register with."""
    # A test may register as many integrations as it likes.
    opened = Ledger(redis_server.url, replace(LedgerPolicy.of(settings), integrations=0))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def register(ledger: Ledger, receiver: Receiver) -> Register:
    """Registers an integration that leads to the receiver: `await register(observes=…)`."""

    async def put(**changes: Any) -> Integration:
        values: dict[str, Any] = {"name": "ERP", "configuration": {"url": receiver.url}} | changes
        integration = an_integration(values.pop("id", str(uuid4())), **values)
        await ledger.integrations.put(integration, expect=0)
        return integration

    return put


@pytest.fixture
def scene(
    ledger: Ledger, receiver: Receiver, register: Register, start_worker: StartWorker, settings: Settings
) -> FleetScene:
    return FleetScene(ledger, receiver, register, start_worker, settings)
