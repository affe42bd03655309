"""A history, and an archiver on a scene."""

from collections.abc import AsyncIterator

import pytest

from tests.counterparts.postgres import PostgresServer
from tests.counterparts.redis_server import RedisServer
from tests.integration.history.archive import KEPT, ledger_with_history
from tests.ledger.scene import LedgerScene, playing_on
from worker.history import migrations
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase
from worker.ledger import Ledger


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
