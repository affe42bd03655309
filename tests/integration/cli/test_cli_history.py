"""What commands say of lists that go on in the history."""

import asyncio

import pytest
from click.testing import CliRunner, Result

from tests.counterparts.postgres import PostgresServer
from tests.counterparts.redis_server import RedisServer
from tests.integration.history.archive import KEPT, archive, ledger_with_history
from tests.ledger.scene import LedgerScene, playing_on
from tests.samples import SCOPE, an_event
from worker.cli import edw
from worker.history import merging
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase
from worker.ledger import Ledger, Verdict

OWN = ["--org", SCOPE.org_id or "", "--store", SCOPE.store_id or ""]
LANE = "7d3b5d0e-0c1f-4e4b-9f0a-2f6f1f6f9a11"
#: Commands that list what has happened.
LISTS = {
    "find": ["find", "order", "1", "--limit", "1", *OWN],
    "logs": ["logs", *OWN],
    "failures": ["logs", "--failed", *OWN],
    "jobs": ["jobs", "list", "--integration", LANE, *OWN],
}


@pytest.fixture
async def archived(
    ledger: Ledger, postgres: PostgresServer, database_name: str, redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Four events of one order are in both."""
    monkeypatch.setenv("EDW_REDIS_URL", redis_server.url)
    monkeypatch.setenv("EDW_HISTORY_URL", postgres.url(database_name))
    async with playing_on(ledger, redis_server.url) as scene:
        played: LedgerScene = await ledger_with_history(scene)
        await played.register(LANE)
        for number in range(4):
            event = an_event(f"e-{number}", data=b'{"type":"order","id":"1"}')
            await played.ledger.inbox.accept([event])
            await played.open(list((await played.ledger.inbox.load([event.ref])).events), LANE)
            (claim,) = await played.claim(LANE)
            await played.settle(claim, Verdict.FAILED)
        archiver = Archiver(played.ledger, HistoryDatabase(postgres.url(database_name)), KEPT)
        await archive(archiver)
        await archiver.close()


async def _said(name: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, edw, LISTS[name])


async def test_a_total_that_is_a_lower_bound_says_so(archived: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "… and 3 older events; see --limit" in (await _said("find")).stdout
    monkeypatch.setattr(merging, "DEEPEST", 3)
    assert "… and more than 2 older events; see --limit" in (await _said("find")).stdout


async def test_a_list_warns_once_when_the_history_does_not_answer(archived: None, postgres: PostgresServer) -> None:
    for name in LISTS:
        assert (await _said(name)).stderr == "", name
    postgres.kill()
    try:
        for name in LISTS:
            said = await _said(name)
            assert said.stderr == "warning: the history does not answer: older records may be missing\n", name
            assert said.stdout, name
    finally:
        postgres.start()
