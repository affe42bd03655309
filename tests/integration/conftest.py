"""A real store and a real broker for every test that wants one, and a ledger on the store."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.counterparts.rabbitmq import MISSING, RabbitServer, is_installed
from tests.counterparts.redis_server import RedisServer
from worker.ledger import Ledger, LedgerPolicy

#: As the settings have it, but for what a test must be able to reach.
POLICY = LedgerPolicy(lane_cap=10, announce=2_000, lease=15_000)
#: Virtual hosts of RabbitMQ, more than there are tests that ask for one.
VHOSTS = [f"of-test-{number}" for number in range(64)]


@pytest.fixture(scope="session")
def redis_of_session() -> Iterator[RedisServer]:
    """One server for the whole run; a test asks for `store`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(redis_of_session: RedisServer) -> RedisServer:
    """An empty store, whatever the last test did to it."""
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
    """An opened ledger on the empty store."""
    opened = Ledger(redis_server.url, POLICY)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """One broker for the whole run; a test asks for `rabbit`, or for a `vhost`."""
    if not is_installed():
        pytest.skip(MISSING)
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
