"""The scene that every scenario of the ledger plays on; it is audited when the scenario is over."""

from collections.abc import AsyncIterator

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger.scene import LedgerScene, playing_on
from worker.ledger import Ledger


@pytest.fixture
async def scene(ledger: Ledger, redis_server: RedisServer) -> AsyncIterator[LedgerScene]:
    """Whatever a scenario does, the ledger must be consistent in the end."""
    async with playing_on(ledger, redis_server.url) as played:
        yield played
        assert (await played.contents()).problems(played.outstanding) == []
