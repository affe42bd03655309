"""Waiting for a ledger that does not answer yet."""

import asyncio

import pytest
from structlog.testing import capture_logs

from deliverers.backoff import Backoff
from worker.ledger import LedgerError, LedgerFormatError, LedgerFull, LedgerUnavailable
from worker.ledger.connection import startup
from worker.ledger.connection.startup import reach


class Ledger:
    """One that cannot be opened so often, each time for another reason."""

    def __init__(self, *errors: LedgerError) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def open(self) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "BACKOFF", Backoff(first=0.001, longest=0.001))


async def test_a_redis_server_that_is_away_or_full_is_waited_for_and_that_is_said_once() -> None:
    ledger = Ledger(LedgerUnavailable("nobody listens"), LedgerFull("at its memory limit"), LedgerUnavailable("again"))
    missed: list[LedgerError] = []
    with capture_logs() as lines:
        assert await reach(ledger, asyncio.Event(), missed=missed.append)
    assert (ledger.tries, len(missed)) == (4, 3)
    assert [(line["event"], line["why"]) for line in lines] == [("waiting for the ledger", "nobody listens")]


async def test_a_wait_that_is_long_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "SAY_AGAIN_SECONDS", 0.0)
    with capture_logs() as lines:
        await reach(Ledger(LedgerUnavailable("one"), LedgerUnavailable("two")), asyncio.Event())
    assert [line["why"] for line in lines] == ["one", "two"]


async def test_what_no_waiting_mends_is_raised_at_once() -> None:
    ledger = Ledger(LedgerFormatError("a newer version wrote it"))
    with pytest.raises(LedgerFormatError):
        await reach(ledger, asyncio.Event())
    assert ledger.tries == 1


async def test_it_is_not_waited_for_longer_than_was_said() -> None:
    with pytest.raises(LedgerUnavailable, match="at last"):
        await reach(Ledger(*(LedgerUnavailable("at last") for _ in range(1000))), asyncio.Event(), within=0.05)


async def test_who_is_asked_to_stop_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "BACKOFF", Backoff(first=60.0, longest=60.0))
    stopping = asyncio.Event()
    waits = asyncio.create_task(reach(Ledger(LedgerUnavailable("nobody listens")), stopping))
    await asyncio.sleep(0)
    stopping.set()
    async with asyncio.timeout(10):
        assert not await waits
