"""The API as its clients have it, and a scene on its ledger.

The tests of READING and ALSO_READING run twice: without a history, and with one into which everything has moved before
each request, so that nearly every read crosses the seam.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import Settings
from tests.api_client import Answer, Api, Client, Serve, consistent, served
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.redis_server import RedisServer
from tests.ledger.scene import LedgerScene, playing_on
from worker.domain.api_token import Role
from worker.history import migrations
from worker.history.archiver import Archiver, HistoryPolicy
from worker.history.database import HistoryDatabase
from worker.http_server.limits import HttpLimits
from worker.ledger import Ledger, LedgerPolicy

#: Modules whose tests read what has happened.
READING = ("test_events_api", "test_find_api", "test_audit_api")
#: Tests of other modules that do.
ALSO_READING = (
    "test_a_filter_of_logs_finds_exactly_what_fulfils_it",
    "test_a_filter_of_jobs_finds_exactly_what_fulfils_it",
)
#: Tests that are about the ledger's own retention.
OF_THE_LEDGER = (
    "test_a_job_of_a_deleted_integration_has_no_name_and_a_log_that_was_dropped_is_not_there",
    "test_what_retention_has_dropped_is_not_found",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.function.__name__
    reads = name in ALSO_READING or (metafunc.module.__name__.endswith(READING) and name not in OF_THE_LEDGER)
    if reads and "history_url" in metafunc.fixturenames:
        metafunc.parametrize("history_url", [False, True], ids=["ledger", "history"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def history_url(request: pytest.FixtureRequest) -> str:
    """The history of these tests; empty where there is none."""
    if not getattr(request, "param", False):
        return ""
    postgres: PostgresServer = request.getfixturevalue("postgres_of_session")
    return postgres.url(postgres.new_database())


@pytest.fixture
async def moving(history_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Move everything that is over into the history before each request, if there is one."""
    if not history_url:
        yield
        return
    ledger = Ledger(redis_server.url, LedgerPolicy(history=True, window=0))
    database = HistoryDatabase(history_url)
    await migrations.migrate(database)
    async with database.connection() as connection:
        await connection.execute("TRUNCATE edw.events, edw.payloads, edw.jobs, edw.logs, edw.changes")
        await connection.commit()
    archiver = Archiver(ledger, database, HistoryPolicy(90 * 86_400_000, 90 * 86_400_000))
    ask, turn = Client.ask, asyncio.Lock()

    async def moved(client: Client, *arguments: Any, **named: Any) -> Answer:
        async with turn:
            while await archiver.step() == 0.0:
                pass
            for _ in range(3):
                await ledger.fleet.forget()
        return await ask(client, *arguments, **named)

    monkeypatch.setattr(Client, "ask", moved)
    yield
    await archiver.close()
    await ledger.close()


@pytest.fixture
async def serve(settings: Settings, history_url: str, moving: None) -> AsyncIterator[Serve]:
    """Serves the API with some settings changed: `await serve(api_body_limit=1024)`, or with other `limits`."""
    async with AsyncExitStack() as stack:

        async def start(limits: HttpLimits | None = None, **changes: Any) -> Api:
            always: dict[str, Any] = {"drain_seconds": 0.1}
            if history_url:
                always |= {"history_url": SecretStr(history_url), "audit_cap": 1}
            changed = settings.model_copy(update=always | changes)
            return await stack.enter_async_context(served(changed, limits))

        yield start


@pytest.fixture
async def api(serve: Serve) -> Api:
    """The API as the settings of all these tests have it."""
    return await serve()


@pytest.fixture
async def admin(api: Api) -> Client:
    """An admin of SCOPE."""
    return await api.someone()


@pytest.fixture
async def reader(api: Api) -> Client:
    """Somebody who may read what SCOPE has."""
    return await api.someone(Role.READ)


@pytest.fixture
async def scene(api: Api, redis_server: RedisServer, history_url: str) -> AsyncIterator[LedgerScene]:
    """What a worker would do to the ledger of the API, in short verbs; it must be consistent in the end."""
    async with playing_on(api.ledger, redis_server.url) as played:
        yield played
        # What has moved on is not in the ledger any more.
        if not history_url:
            await consistent(api.ledger, played)
