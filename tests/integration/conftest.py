"""A real Redis server and a real broker for every test that wants one, a ledger, and workers to start."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from config.settings import Settings, load_settings
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.server import require, started
from tests.fleet.environment import quick_environment
from tests.fleet.processes import StartWorker, WorkerProcess
from tests.fleet.webhook_receiver import Receiver, receiving
from worker.ledger import Ledger, LedgerPolicy

#: As the settings have it, but for what a test must be able to reach.
POLICY = LedgerPolicy(lane_cap=10, announce=2_000, lease=15_000)
#: Virtual hosts of RabbitMQ, more than there are tests that ask for one.
VHOSTS = [f"of-test-{number}" for number in range(64)]


@pytest.fixture(scope="session")
def redis_of_session() -> Iterator[RedisServer]:
    """One server for the whole run; a test asks for `redis_server`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(redis_of_session: RedisServer) -> RedisServer:
    """An empty server, whatever the last test did to it."""
    redis_of_session.thaw()
    if not redis_of_session.running:
        redis_of_session.start()
    redis_of_session.clear()
    return redis_of_session


@pytest.fixture
def make_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts servers of a test's own: `make_redis(maxmemory="8mb")`."""
    made: list[RedisServer] = []

    def make(**options: str | int) -> RedisServer:
        server = RedisServer(**options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.remove()


@pytest.fixture
async def ledger(redis_server: RedisServer) -> AsyncIterator[Ledger]:
    """An opened ledger on the empty server."""
    opened = Ledger(redis_server.url, POLICY)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """One broker for the whole run; a test asks for `rabbit`, or for a `vhost`."""
    require(RabbitServer)
    with RabbitServer(vhosts=VHOSTS) as server:
        yield server


@pytest.fixture(scope="session")
def unused_vhosts() -> Iterator[str]:
    """Those that no test had."""
    return iter(VHOSTS)


@pytest.fixture
def rabbit(rabbit_server: RabbitServer) -> RabbitServer:
    """A running broker, whatever the last test did to it."""
    rabbit_server.thaw()
    if not rabbit_server.running:
        rabbit_server.kill()
        rabbit_server.start()
    return rabbit_server


@pytest.fixture
def vhost(rabbit: RabbitServer, unused_vhosts: Iterator[str]) -> str:
    """A virtual host of RabbitMQ without queues."""
    return next(unused_vhosts)


@pytest.fixture(scope="session")
def postgres_of_session() -> Iterator[PostgresServer]:
    """One server for the whole run; a test asks for `postgres`."""
    yield from started(PostgresServer)


@pytest.fixture
def postgres(postgres_of_session: PostgresServer) -> PostgresServer:
    """A running server, whatever the last test did to it."""
    postgres_of_session.thaw()
    if not postgres_of_session.running:
        postgres_of_session.kill()
        postgres_of_session.start()
    return postgres_of_session


@pytest.fixture
def database_name(postgres: PostgresServer) -> str:
    """An empty database."""
    return postgres.new_database()


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """The broker, where it is not Redis: see tests.fleet.variants.on_both_brokers."""
    if getattr(request, "param", "redis") == "redis":
        return None
    rabbit = request.getfixturevalue("rabbit")
    return str(rabbit.url(request.getfixturevalue("vhost")))


@pytest.fixture
def environment(redis_server: RedisServer, broker_url: str | None) -> dict[str, str]:
    """What the processes under test see."""
    return quick_environment(redis_server.url, broker_url)


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same settings, for what runs in the test's own process."""
    for name, value in environment.items():
        if name.startswith("EDW_"):
            monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook receiver on loopback."""
    async with receiving() as found:
        yield found


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers: `start_worker("edw worker", EDW_…="…")`."""
    started: list[WorkerProcess] = []

    def start(command: str = "celery worker", files: int | None = None, **changes: str) -> WorkerProcess:
        worker = WorkerProcess(command, environment | changes, tmp_path / f"worker-{len(started)}.log", files)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.end()
