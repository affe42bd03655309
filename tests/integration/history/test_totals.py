"""The API's totals are exact up to a limit, and then a lower bound that says so, in every list."""

import pytest
from pydantic import SecretStr

from config.settings import Settings
from tests.api_client import served
from tests.counterparts.postgres import PostgresServer
from tests.integration.history.archive import archive, forget
from tests.ledger.scene import LedgerScene
from tests.samples import an_event
from worker.history import merging
from worker.history.archiver import Archiver
from worker.ledger import Verdict

LANE = "7d3b5d0e-0c1f-4e4b-9f0a-2f6f1f6f9a11"
EVENTS = 4


async def test_each_list_says_whether_its_total_is_exact(
    played: LedgerScene,
    archiver: Archiver,
    postgres: PostgresServer,
    database_name: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await played.register(LANE)
    for number in range(EVENTS):
        event = an_event(f"e-{number}", data=b'{"type":"order","id":"1"}')
        await played.ledger.inbox.accept([event])
        await played.open(list((await played.ledger.inbox.load([event.ref])).events), LANE)
        (claim,) = await played.claim(LANE)
        await played.settle(claim, Verdict.FAILED)
        if number == EVENTS // 2:
            await archive(archiver)
            await forget(played.ledger)
    lists = [(path, "") for path in ("integrations/logs", f"integrations/{LANE}/logs", f"integrations/{LANE}/jobs")]
    lists += [("events", ""), ("events", "eq(resource_type,order):eq(resource_id,1)")]
    url = SecretStr(postgres.url(database_name))
    async with served(settings.model_copy(update={"history_url": url})) as api:
        admin = await api.someone()
        for limit, expected in ((EVENTS, {"total": EVENTS}), (EVENTS - 1, {"total": EVENTS - 1, "at_least": True})):
            monkeypatch.setattr(merging, "DEEPEST", limit)
            for path, query in lists:
                page = await admin.get(f"/v2/{path}", filter=query) if query else await admin.get(f"/v2/{path}")
                assert page.document["results"] == expected, path
                assert page.document["meta"]["results"] == expected, path


async def test_a_job_of_more_attempts_than_are_read_says_so(
    played: LedgerScene, archiver: Archiver, postgres: PostgresServer, database_name: str, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await played.register(LANE)
    (job,) = await played.owe(LANE, "e-1")
    for _ in range(3):
        await played.ledger.redelivery.redeliver([job])
        (claim,) = await played.claim(LANE)
        await played.settle(claim, Verdict.FAILED)
        await archive(archiver)
    await forget(played.ledger)
    url = SecretStr(postgres.url(database_name))
    async with served(settings.model_copy(update={"history_url": url})) as api:
        admin = await api.someone()
        path = f"/v2/integrations/{LANE}/jobs/{job}/logs"
        assert (await admin.get(path)).document["results"] == {"total": 3}
        for module in ("worker.history.history_reader", "worker.history.seam"):
            monkeypatch.setattr(f"{module}.LOGS_OF_JOB", 2)
        assert (await admin.get(path)).document["results"] == {"total": 2, "at_least": True}
