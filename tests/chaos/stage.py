"""The processes of a run, and what they are told: every duration is short, so that minutes show what days would."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from config.settings import Settings
from tests.benchmarks.processes import Servant
from tests.chaos.doors import DOORS
from tests.chaos.receiver import OBSERVES
from tests.chaos.schedule import Victim
from tests.chaos.victims import Mortal, ProcessVictim, ServerVictim
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.store import StoreServer, free_port
from tests.integration.process.conftest import SCOPE, eventually
from worker.integrations import Integration
from worker.ledger import Ledger, LedgerPolicy
from worker.tokens import Kind, Role, Token, digest_of, make_secret, new_id, written

WORKERS = 3
#: Events a second, through all doors together.
RATE = 200.0
SETTINGS = {
    "EDW_EGRESS_ALLOW": "127.0.0.0/8",
    # An attempt that is lost with its worker is one of these too.
    "EDW_RETRY_SCHEDULE": "300ms 500ms 1s 1s 2s 2s 3s 3s 5s 5s 5s 5s",
    "EDW_LEASE_SECONDS": "2",
    "EDW_ANNOUNCE_SECONDS": "1s",
    "EDW_SWEEP_SECONDS": "200ms",
    "EDW_CIRCUIT_PAUSES": "500ms 1s",
    "EDW_METRICS_PORT": "0",
    # The checker reads all of them in the end.
    "EDW_LOG_CAP": "10000000",
}


@dataclass
class Stage:
    """Everything, started."""

    folder: Path
    store: StoreServer
    rabbit: RabbitServer | None
    ledger: Ledger
    workers: list[ProcessVictim]
    api: ProcessVictim
    producers: Mapping[str, ProcessVictim]
    #: The integrations by their ids.
    names: Mapping[str, str]

    def victim(self, kind: Victim, number: int) -> Mortal:
        """Whom the schedule means."""
        match kind:
            case Victim.WORKER:
                return self.workers[number]
            case Victim.API:
                return self.api
            case Victim.PUBLISHER:
                return self.producers["publisher"]
            case Victim.STORE:
                return ServerVictim(self.store)
        assert self.rabbit is not None
        return ServerVictim(self.rabbit)

    @property
    def requests(self) -> Path:
        """What the receiver notes."""
        return requests_of(self.folder)

    def offers(self, door: str) -> Path:
        """What the producers of a door note."""
        return self.folder / f"{door}.offers"


def requests_of(folder: Path) -> Path:
    """Where the receiver notes what it gets."""
    return folder / "requests"


@asynccontextmanager
async def staged(folder: Path, *, rabbitmq: bool) -> AsyncIterator[Stage]:
    """Starts everybody but the producers, and ends everybody in any case."""
    async with AsyncExitStack() as stack:
        store = StoreServer()
        stack.callback(store.remove)
        rabbit = RabbitServer() if rabbitmq else None
        if rabbit is not None:
            stack.callback(rabbit.remove)
        receiver = Servant("the receiver", "tests.chaos.receiver", folder / "receiver.log", [str(requests_of(folder))])
        stack.callback(receiver.stop)
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in (store, rabbit) if each is not None))
        port = int(await asyncio.to_thread(receiver.expect))

        own = SETTINGS | {"EDW_REDIS_URL": store.url, "EDW_API_PORT": str(free_port())}
        if rabbit is not None:
            own["EDW_BROKER_URL"] = rabbit.url()
        settings = _settings(own)
        ledger = Ledger(store.url, LedgerPolicy.of(settings))
        stack.push_async_callback(ledger.close)
        await ledger.open()
        names = await _register(ledger, f"http://127.0.0.1:{port}")
        token = await _token(ledger)

        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDW_")} | own
        workers = [ProcessVictim(f"worker-{number}", _celery(number), folder, environment) for number in range(WORKERS)]
        api = ProcessVictim("api", [sys.executable, "-m", "worker.cli", "api"], folder, environment)
        url = f"http://127.0.0.1:{settings.api_port}"
        producers = {}
        for door in DOORS:
            command = [
                sys.executable, "-m", "tests.chaos.producer",
                door, str(folder / f"{door}.offers"), str(RATE / len(DOORS)), url, token,
            ]  # fmt: skip
            producers[door] = ProcessVictim(f"producer-{door}", command, folder, environment, held=True)
        for each in (*workers, api, *producers.values()):
            stack.callback(each.remove)
        for each in (*workers, api):
            each.start()
        stage = Stage(folder, store, rabbit, ledger, workers, api, producers, names)
        await eventually(lambda: _ready(stage), "everybody is ready")
        yield stage


def _ready(stage: Stage) -> bool:
    for each in (*stage.workers, stage.api):
        each.check()
    return all(each.said("worker ready") for each in stage.workers) and stage.api.said("api ready") is not None


def _celery(number: int) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-n", f"chaos-{number}@test"]


def _settings(own: Mapping[str, str]) -> Settings:
    values: dict[str, Any] = {name.removeprefix("EDW_").lower(): value for name, value in own.items()}
    return Settings(**values)


async def _register(ledger: Ledger, receiver: str) -> dict[str, str]:
    names = {str(uuid4()): name for name in OBSERVES}
    for id_, name in names.items():
        integration = Integration(
            id=id_,
            scope=SCOPE,
            name=name,
            integration_type="webhook",
            observes=OBSERVES[name],
            configuration={"url": f"{receiver}/{name}"},
        )
        await ledger.registry.put(integration, expect=0)
    return names


async def _token(ledger: Ledger) -> str:
    token_id, secret = new_id(), make_secret()
    await ledger.tokens.put(Token(token_id, Kind.TOKEN, Role.ADMIN, SCOPE, digest=digest_of(secret)))
    return written(token_id, secret)
