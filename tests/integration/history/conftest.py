"""A real PostgreSQL, and a database of its own for each test that wants one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.counterparts.postgres import PostgresServer
from tests.counterparts.redis_server import RedisServer
from tests.counterparts.server import started
from tests.integration.history.archive import KEPT, ledger_with_history
from tests.ledger.scene import LedgerScene, playing_on
from worker.history import migrations
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase
from worker.ledger import Ledger


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
async def empty_history(postgres: PostgresServer, database_name: str) -> AsyncIterator[HistoryDatabase]:
    """A history without tables."""
    database = HistoryDatabase(postgres.url(database_name))
    yield database
    await database.close()


@pytest.fixture
async def history(empty_history: HistoryDatabase) -> HistoryDatabase:
    """A history with its tables, and without a partition."""
    await migrations.migrate(empty_history)
    return empty_history


@pytest.fixture
async def played(scene: LedgerScene) -> LedgerScene:
    """The scene of a process with a history, whose ledger forgets what is archived at once."""
    return await ledger_with_history(scene)


@pytest.fixture
async def archiver(played: LedgerScene, empty_history: HistoryDatabase) -> AsyncIterator[Archiver]:
    """An archiver of this process; a test calls its steps."""
    made = Archiver(played.ledger, empty_history, KEPT)
    yield made
    await made.close()


@pytest.fixture
async def scene(ledger: Ledger, redis_server: RedisServer) -> AsyncIterator[LedgerScene]:
    """A scene on the ledger, without its audit: what is forgotten is not in the ledger."""
    async with playing_on(ledger, redis_server.url) as made:
        yield made
