"""The emulators of SQS: started once for all tests, and thawed and emptied for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.counterparts.ministack import Ministack
from tests.counterparts.moto import Moto
from tests.counterparts.server import started


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
