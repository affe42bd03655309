"""The loops that tests run on, and the emulators of SQS: started once for all tests, thawed and emptied for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.counterparts.ministack import Ministack
from tests.counterparts.moto import Moto
from tests.counterparts.server import started

#: Modules whose tests run on both loops: workers use uvloop, and the API asyncio's.
ON_BOTH_LOOPS = frozenset(
    {
        "test_http_sender",
        "test_web_servers",
        "test_webhook",
        "test_webhook_hostile",
        "test_webhook_mtls",
        "test_webhook_security",
    }
)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops = {"asyncio": asyncio.new_event_loop}
    return loops | ({"uvloop": uvloop.new_event_loop} if item.path.stem in ON_BOTH_LOOPS else {})


@pytest.fixture(scope="session")
def _ministack() -> Iterator[Ministack]:
    yield from started(Ministack)


@pytest.fixture(scope="session")
def _moto() -> Iterator[Moto]:
    yield from started(Moto)


@pytest.fixture
def ministack(_ministack: Ministack) -> Iterator[Ministack]:
    yield _ministack
    _ministack.thaw()
    _ministack.reset()


@pytest.fixture
def moto(_moto: Moto) -> Iterator[Moto]:
    yield _moto
    _moto.thaw()
    _moto.reset()
