"""The scene that every scenario of the ledger plays on; it is audited when the scenario is over."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.counterparts.redis_server import RedisServer
from worker.ledger import Ledger

from .scene import Scene


@pytest.fixture
async def scene(ledger: Ledger, redis_server: RedisServer) -> AsyncIterator[Scene]:
    """Whatever a scenario does, the books must balance in the end."""
    async with AsyncExitStack() as others:

        async def another(url: str = "", **policy: Any) -> Ledger:
            opened = Ledger(url or redis_server.url, replace(ledger.policy, **policy))
            others.push_async_callback(opened.close)
            await opened.open()
            return opened

        played = Scene(ledger, another)
        yield played
        assert (await played.books()).problems(played.outstanding) == []
