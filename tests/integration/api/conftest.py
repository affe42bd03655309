"""The API as its clients have it, and a scene on its ledger."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from config.settings import Settings
from tests.api_client import Api, Client, Serve, consistent, served
from tests.counterparts.redis_server import RedisServer
from tests.ledger.scene import LedgerScene, playing_on
from worker.domain.api_token import Role
from worker.http_server.limits import HttpLimits


@pytest.fixture
async def serve(settings: Settings) -> AsyncIterator[Serve]:
    """Serves the API with some settings changed: `await serve(api_body_limit=1024)`, or with other `limits`."""
    async with AsyncExitStack() as stack:

        async def start(limits: HttpLimits | None = None, **changes: Any) -> Api:
            changed = settings.model_copy(update={"drain_seconds": 0.1} | changes)
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
async def scene(api: Api, redis_server: RedisServer) -> AsyncIterator[LedgerScene]:
    """What a worker would do to the ledger of the API, in short verbs; it must be consistent in the end."""
    async with playing_on(api.ledger, redis_server.url) as played:
        yield played
        await consistent(api.ledger, played)
