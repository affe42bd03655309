"""The processes of a run, and their arguments: every duration is short, so that minutes show what days would."""

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
from tests.chaos.ingresses import INGRESSES
from tests.chaos.receiver import OBSERVES
from tests.chaos.schedule import LEASE_SECONDS, Kill, Victim
from tests.chaos.victims import ClockVictim, Mortal, ProcessVictim, ServerVictim, SleepingVictim
from tests.counterparts.fake_clock import SteppedRedisServer
from tests.counterparts.ports import free_port
from tests.counterparts.rabbitmq import RabbitServer
from tests.samples import SCOPE, issue_token
from tests.waiting import eventually
from worker.domain.integration import Integration
from worker.ledger import Ledger, LedgerPolicy

WORKERS = 3
#: Where the receiver notes what it gets.
REQUESTS = "requests"
#: Events a second, through all ingresses together.
RATE = 200.0
SETTINGS = {
    "EDW_EGRESS_ALLOW": "127.0.0.0/8",
    # An attempt that is lost with its worker is one of these too.
    "EDW_RETRY_SCHEDULE": "300ms 500ms 1s 1s 2s 2s 3s 3s 5s 5s 5s 5s",
    "EDW_LEASE_SECONDS": str(LEASE_SECONDS),
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
    redis_server: SteppedRedisServer
    rabbit: RabbitServer | None
    ledger: Ledger
    workers: list[ProcessVictim]
    api: ProcessVictim
    producers: Mapping[str, ProcessVictim]
    #: The integrations by their ids.
    names: Mapping[str, str]

    def victim(self, kill: Kill) -> Mortal:
        """Whom the schedule means."""
        match kill.victim:
            case Victim.WORKER:
                return self.workers[kill.number]
            case Victim.SLEEPER:
                return SleepingVictim(self.workers[kill.number])
            case Victim.CLOCK:
                return ClockVictim(self.redis_server, kill.step)
            case Victim.API:
                return self.api
            case Victim.PUBLISHER:
                return self.producers["publisher"]
            case Victim.REDIS:
                return ServerVictim(self.redis_server)
        assert self.rabbit is not None
        return ServerVictim(self.rabbit)

    @property
    def requests(self) -> Path:
        """What the receiver notes."""
        return self.folder / REQUESTS

    def offers(self, ingress: str) -> Path:
        """What the producers of an ingress note."""
        return self.folder / offers_of(ingress)


def offers_of(ingress: str) -> str:
    """The file of an ingress's producers."""
    return f"{ingress}.offers"


@asynccontextmanager
async def staged(folder: Path, *, rabbitmq: bool) -> AsyncIterator[Stage]:
    """Starts everybody but the producers, and ends everybody in any case."""
    async with AsyncExitStack() as stack:
        redis_server, rabbit, receiver = await _servers(stack, folder, rabbitmq=rabbitmq)
        own = SETTINGS | {"EDW_REDIS_URL": redis_server.url, "EDW_API_PORT": str(free_port())}
        if rabbit is not None:
            own["EDW_BROKER_URL"] = rabbit.url()
        ledger = Ledger(redis_server.url, LedgerPolicy.of(_settings(own)))
        stack.push_async_callback(ledger.close)
        await ledger.open()
        names = await _register(ledger, receiver)
        workers, api, producers = _cast(folder, own, await issue_token(ledger))
        for each in (*workers, api, *producers.values()):
            stack.callback(each.remove)
        for each in (*workers, api):
            each.start()
        stage = Stage(folder, redis_server, rabbit, ledger, workers, api, producers, names)
        await eventually(lambda: _ready(stage), "everybody is ready")
        yield stage


async def _servers(
    stack: AsyncExitStack, folder: Path, *, rabbitmq: bool
) -> tuple[SteppedRedisServer, RabbitServer | None, str]:
    """Starts Redis, the broker and the receiver; the last is its URL."""
    redis_server, rabbit = SteppedRedisServer(), RabbitServer() if rabbitmq else None
    servers: list[SteppedRedisServer | RabbitServer] = [redis_server] if rabbit is None else [redis_server, rabbit]
    for each in servers:
        stack.callback(each.remove)
    receiver = Servant("the receiver", "tests.chaos.receiver", folder / "receiver.log", [str(folder / REQUESTS)])
    stack.callback(receiver.stop)
    await asyncio.gather(*(asyncio.to_thread(each.start) for each in servers))
    return redis_server, rabbit, f"http://127.0.0.1:{await asyncio.to_thread(receiver.expect)}"


def _cast(
    folder: Path, own: Mapping[str, str], token: str
) -> tuple[list[ProcessVictim], ProcessVictim, dict[str, ProcessVictim]]:
    """The workers, the API and a producer for each ingress, none of them started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDW_")} | dict(own)

    def process(name: str, *arguments: str, held: bool = False) -> ProcessVictim:
        return ProcessVictim(name, [sys.executable, "-m", *arguments], folder, environment, held=held)

    celery = ("celery", "-A", "worker.app", "worker", "-n")
    workers = [process(f"worker-{number}", *celery, f"chaos-{number}@test") for number in range(WORKERS)]
    api = f"http://127.0.0.1:{own['EDW_API_PORT']}"
    producers = {}
    for ingress in INGRESSES:
        arguments = (ingress, str(folder / offers_of(ingress)), str(RATE / len(INGRESSES)), api, token)
        producers[ingress] = process(f"producer-{ingress}", "tests.chaos.producer", *arguments, held=True)
    return workers, process("api", "worker.cli", "api"), producers


def _ready(stage: Stage) -> bool:
    for each in (*stage.workers, stage.api):
        each.check()
    return all(each.said("worker ready") for each in stage.workers) and stage.api.said("api ready") is not None


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
        await ledger.integrations.put(integration, expect=0)
    return names
