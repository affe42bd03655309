"""A real store, real worker processes, a real receiver: what the process tests are played with."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import psutil
import pytest
from aiohttp import web
from celery import Celery
from cryptography.fernet import Fernet

from config.celery import EVENTS_QUEUE, INTAKE_QUEUE, OBSERVE_TASK, broker_url_for, is_rabbitmq
from config.settings import Settings, load_settings
from tests.counterparts.redis_server import RedisServer
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.ledger import Ledger, LedgerPolicy
from worker.publisher import Publisher

SCOPE = Scope("org-1", "store-1")
#: What secrets of the tests are sealed with.
SECRETS_KEY = Fernet.generate_key().decode()
#: A busy machine may take its time; nothing here is expected to need so long (seconds).
PATIENCE = 45.0
#: What people type to run workers, without the interpreter, and how many processes deliver then.
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "celery worker": (("-m", "celery", "-A", "worker.app", "worker"), 1),
    "edw worker": (("-m", "worker.cli", "worker"), 1),
    "edw worker --processes 2": (("-m", "worker.cli", "worker", "--processes", "2"), 2),
}
#: A test that plays with each of them, by its argument `command`.
by_each_command = pytest.mark.parametrize("command", list(COMMANDS))
#: A test that plays with each broker: where what happens depends on what the broker does.
on_both_brokers = pytest.mark.parametrize("broker_url", ["redis", "rabbitmq"], indirect=True)
on_rabbitmq = pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)


async def eventually(condition: Callable[[], Awaitable[Any] | Any], what: str, seconds: float = PATIENCE) -> Any:
    """Awaits until `condition` answers something true, and answers that; fails with `what` where it never does."""
    end = monotonic() + seconds
    while monotonic() < end:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@dataclass
class Received:
    """One request that the receiver got."""

    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    path: str


@dataclass
class Receiver:
    """A webhook receiver on loopback. `answers` are given in turn, then 200; `hold` keeps requests unanswered.

    `always` is what a path answers each time; every answer takes `pause` seconds.
    """

    url: str = ""
    answers: list[int] = field(default_factory=list)
    always: dict[str, int] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    hold: asyncio.Event | None = None
    pause: float = 0.0
    #: Requests of events of these ids are kept for longer.
    holds: dict[str, asyncio.Event] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = await request.json()
        self.received.append(Received(dict(request.headers), body, raw, request.path))
        if self.hold is not None:
            await self.hold.wait()
        if body["id"] in self.holds:
            await self.holds[body["id"]].wait()
        await asyncio.sleep(self.pause)
        status = self.always.get(request.path) or (self.answers.pop(0) if self.answers else 200)
        return web.Response(status=status, text="ok" if status == 200 else "try again")

    def got(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.received) >= count


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/{tail:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield found
    if found.hold is not None:
        found.hold.set()
    for each in found.holds.values():
        each.set()
    await runner.cleanup()


def _started(arguments: Sequence[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """A program of Python's, in a session of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class WorkerProcess:
    """One of COMMANDS, as anybody would type it."""

    def __init__(self, command: str, environment: dict[str, str], log: Path) -> None:
        self.log = log
        arguments, self._processes = COMMANDS[command]
        names = ("-n", f"{uuid4().hex}@test") if "celery" in arguments else ()
        self._process = _started([*arguments, *names], environment, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """As a power cut: no handler runs."""
        self._process.kill()
        self._process.wait()

    def tell(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """A signal, and the exit code."""
        self.tell(number)
        return await self.ends()

    async def ends(self) -> int:
        """Its exit code."""
        try:
            return await asyncio.to_thread(self._process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            # The worker writes the stacks of its threads: what it hangs in is worth knowing.
            self._process.send_signal(signal.SIGABRT)
            self._process.wait()
            raise AssertionError(f"the worker did not stop:\n{self.log.read_text(errors='replace')[-6000:]}") from None

    def end(self) -> None:
        # A supervisor's children have sessions of their own.
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def probe(self) -> str:
        """Where its probe listens, as it says."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if '"event":"probe"' in line]
        return str(lines[-1]["metrics"]).removesuffix("/metrics")

    def said(self, text: str, times: int = 1) -> bool:
        return self.log.read_text(errors="replace").count(text) >= times

    async def ready(self) -> "WorkerProcess":
        """Once each of its processes has its rooms, and reads its queues."""

        def is_ready() -> bool:
            rooms, queues = '"worker ready"', ' ready."}'
            return (self.said(rooms, self._processes) and self.said(queues, self._processes)) or self._ended()

        await eventually(is_ready, "the worker starts")
        return self

    def _ended(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the worker ended by itself:\n{self.log.read_text(errors='replace')[-3000:]}")
        return False


StartWorker = Callable[..., WorkerProcess]


class ApiProcess:
    """`edw api`, as anybody would type it."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self._log = log
        self.process = _started(["-m", "worker.cli", "api", *arguments], environment, log)

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where it listens, as it says."""
        lines = [json.loads(line) for line in self.said.splitlines() if '"api ready"' in line]
        return str(lines[-1]["url"]) if lines else ""

    async def ready(self) -> "ApiProcess":
        await eventually(lambda: self.url or self._over(), "it listens")
        return self

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ends(self) -> int:
        """Waits for its end, and answers its exit code."""
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    async def stop(self) -> int:
        self.signal()
        return await self.ends()

    def children(self) -> list[psutil.Process]:
        return [each for each in psutil.Process(self.process.pid).children() if each.status() != psutil.STATUS_ZOMBIE]

    def end(self) -> None:
        with suppress(psutil.NoSuchProcess):
            for each in self.children():
                each.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _over(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}:\n{self.said[-3000:]}")
        return False


StartApi = Callable[..., ApiProcess]


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """The broker, where it is not the store: see on_both_brokers."""
    if getattr(request, "param", "redis") == "redis":
        return None
    rabbit = request.getfixturevalue("rabbit")
    return str(rabbit.url(request.getfixturevalue("vhost")))


@pytest.fixture
def environment(redis_server: RedisServer, broker_url: str | None) -> dict[str, str]:
    """What the processes under test see: quick, and allowed to reach loopback."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDW_")}
    broker = {} if broker_url is None else {"EDW_BROKER_URL": broker_url}
    return (
        kept
        | broker
        | {
            "EDW_REDIS_URL": redis_server.url,
            "EDW_EGRESS_ALLOW": "127.0.0.0/8",
            "EDW_RETRY_SCHEDULE": "200ms 200ms 200ms",
            "EDW_LEASE_SECONDS": "2",
            "EDW_ANNOUNCE_SECONDS": "1s",
            "EDW_SWEEP_SECONDS": "200ms",
            "EDW_METRICS_PORT": "0",
            # What a test lets fail, it lets fail to its end.
            "EDW_CIRCUIT_FAILURES": "0",
            "EDW_CIRCUIT_SHARE": "0",
            "EDW_SECRETS_KEYS": SECRETS_KEY,
            "PYTHONFAULTHANDLER": "1",
        }
    )


class ForeignProducer:
    """A program that has only Celery, and sends as the README tells it."""

    def __init__(self, broker_url: str) -> None:
        self.app = Celery("producer", broker=broker_url_for(broker_url), set_as_current=False)
        self._where = {"queue": EVENTS_QUEUE}
        if is_rabbitmq(broker_url):
            self._where = {"exchange": EVENTS_QUEUE, "routing_key": EVENTS_QUEUE}

    def send(self, task: str = OBSERVE_TASK, **options: Any) -> str:
        """Answers the task's id."""
        return str(self.app.send_task(task, **self._where, **options).id)


@pytest.fixture
def producer(redis_server: RedisServer, broker_url: str | None) -> Iterator[ForeignProducer]:
    """On the broker of the test."""
    made = ForeignProducer(broker_url or redis_server.url)
    yield made
    made.app.close()


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    started: list[WorkerProcess] = []

    def start(command: str = "celery worker", **changes: str) -> WorkerProcess:
        worker = WorkerProcess(command, environment | changes, tmp_path / f"worker-{len(started)}.log")
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.end()


@pytest.fixture
def start_api(environment: dict[str, str], tmp_path: Path) -> Iterator[StartApi]:
    """Starts `edw api` on any free port: `start_api("--processes", "2", EDW_…="…")`."""
    started: list[ApiProcess] = []

    def start(*arguments: str, **changes: str) -> ApiProcess:
        log = tmp_path / f"api-{len(started)}.log"
        process = ApiProcess(arguments, environment | {"EDW_API_PORT": "0"} | changes, log)
        started.append(process)
        return process

    yield start
    for each in started:
        each.end()


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same settings, for what runs in the test's own process."""
    for name, value in environment.items():
        if name.startswith("EDW_"):
            monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
async def books(settings: Settings, redis_server: RedisServer) -> AsyncIterator[Ledger]:
    """The ledger, to look into and to register with."""
    ledger = Ledger(redis_server.url, LedgerPolicy.of(settings))
    await ledger.open()
    yield ledger
    await ledger.close()


Register = Callable[..., Awaitable[Integration]]


@pytest.fixture
def register(books: Ledger, receiver: Receiver) -> Register:
    async def put(**changes: Any) -> Integration:
        values: dict[str, Any] = {
            "id": str(uuid4()),
            "scope": SCOPE,
            "name": "ERP",
            "integration_type": "webhook",
            "observes": ("order.paid",),
            "configuration": {"url": receiver.url},
        }
        integration = Integration(**(values | changes))
        await books.registry.put(integration, expect=0)
        return integration

    return put


def order_paid(**changes: Any) -> dict[str, Any]:
    """A small event."""
    event = {
        "type": "order.paid",
        "store_id": SCOPE.store_id,
        "org_id": SCOPE.org_id,
        "data": {"type": "order", "id": "o-1"},
    }
    return event | changes


@dataclass(frozen=True)
class Scene:
    """Where most stories begin: a ledger, a receiver, integrations that lead to it, and workers to start."""

    books: Ledger
    receiver: Receiver
    register: Register
    start_worker: StartWorker
    settings: Settings

    async def publish(self, **changes: Any) -> None:
        """One event, by the Publisher."""
        async with Publisher(self.settings) as publisher:
            await publisher.apublish(order_paid(**changes))

    async def put_in_intake(self, *events: dict[str, Any]) -> None:
        """Events for the plain queue of Redis."""
        await self.books.store.client.execute_command("LPUSH", INTAKE_QUEUE, *(json.dumps(each) for each in events))

    async def holds_one(self, worker: WorkerProcess) -> Integration:
        """Has the receiver keep attempt 1 of an event unanswered, which is the worker's."""
        self.receiver.hold = asyncio.Event()
        integration = await self.register()
        await worker.ready()
        await self.publish(id="held")
        await eventually(self.receiver.got(1), "attempt 1 is in flight")
        return integration

    def answer(self) -> None:
        """Lets what the receiver keeps go, and what comes."""
        assert self.receiver.hold is not None
        self.receiver.hold.set()
        self.receiver.hold = None


@pytest.fixture
def scene(
    books: Ledger, receiver: Receiver, register: Register, start_worker: StartWorker, settings: Settings
) -> Scene:
    return Scene(books, receiver, register, start_worker, settings)


async def balanced(books: Ledger) -> None:
    """Invariant 1, once nothing is under way."""
    status = await books.status.read()
    assert (status.events_balance, status.jobs_balance) == (0, 0), status


async def logs_of(books: Ledger, integration_id: str) -> Sequence[IntegrationLog]:
    """An integration's, the last one first."""
    return (await books.logs.of_integration(integration_id, 0, 1_000)).items


async def logged(
    books: Ledger, integration_id: str, count: int, succeeded: bool = False
) -> Sequence[IntegrationLog] | None:
    """The logs of an integration, or those of its successes, once there are so many."""
    found = [log for log in await logs_of(books, integration_id) if log.succeeded or not succeeded]
    return found if len(found) >= count else None
