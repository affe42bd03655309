"""A real store and a real broker for every test that wants one, and a ledger on the store."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.counterparts.rabbitmq import MISSING, RabbitServer, is_installed
from tests.counterparts.store import StoreServer
from worker.ledger import Ledger, LedgerPolicy

#: As the settings have it, but for what a test must be able to reach.
POLICY = LedgerPolicy(lane_cap=10, announce=2_000, lease=15_000)
#: Virtual hosts of RabbitMQ, more than there are tests that ask for one.
VHOSTS = [f"of-test-{number}" for number in range(64)]


@pytest.fixture(scope="session")
def store_server() -> Iterator[StoreServer]:
    """One server for the whole run; a test asks for `store`."""
    with StoreServer() as server:
        yield server


@pytest.fixture
def store(store_server: StoreServer) -> StoreServer:
    """An empty store, whatever the last test did to it."""
    store_server.thaw()
    if not store_server.running:
        store_server.start()
    store_server.clear()
    return store_server


@pytest.fixture
def make_store() -> Iterator[Callable[..., StoreServer]]:
    """Starts servers of a test's own: `make_store(maxmemory="8mb")`."""
    made: list[StoreServer] = []

    def make(**options: str | int) -> StoreServer:
        server = StoreServer(**options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.remove()


@pytest.fixture
async def ledger(store: StoreServer) -> AsyncIterator[Ledger]:
    """An opened ledger on the empty store."""
    opened = Ledger(store.url, POLICY)
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
