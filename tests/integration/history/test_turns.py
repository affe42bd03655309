"""Stores take turns in the archive: whatever one store's records are, another store's do not wait for them."""

from collections import Counter

import pytest

from tests.integration.history.archive import archive, forget, rows
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import ELSEWHERE, SCOPE, an_event, an_integration
from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.event import Scope
from worker.history import outbox_batches
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase
from worker.history.outbox_batches import BATCH_ENTRIES
from worker.ledger import Verdict

JOBS = "SELECT scope, count(*) FROM edw.jobs GROUP BY scope"
AUDIT = "SELECT scope, count(*) FROM edw.changes GROUP BY scope"
BY = Actor("0123456789abcdef", "Zoë")
#: Records of the audit that the outbox holds at most (MOST_AUDITED of change_records.lua).
MOST_AUDITED = 20_000
LANES = {SCOPE: "here", ELSEWHERE: "elsewhere"}


@pytest.fixture
async def stores(played: LedgerScene) -> LedgerScene:
    """Two stores, each with an integration."""
    for scope, lane in LANES.items():
        await played.register(lane, scope=scope)
    return played


async def deliver(scene: LedgerScene, scope: Scope, count: int, verdict: Verdict = Verdict.SUCCEEDED) -> None:
    """Events of a store, each delivered."""
    lane = LANES[scope]
    for first in range(0, count, 100):
        events = [an_event(f"e-{n}", scope) for n in range(first, min(first + 100, count))]
        await scene.ledger.inbox.accept(events)
        await scene.open(list((await scene.ledger.inbox.load([each.ref for each in events])).events), lane)
        while claims := await scene.claim(lane):
            await scene.ledger.jobs.settle([settlement(each, verdict, delay=HOUR) for each in claims])


async def change(scene: LedgerScene, scope: Scope, count: int) -> None:
    """Changes that somebody made in a store."""
    for number in range(count):
        made = Change(BY, ChangeAction.INTEGRATION_UPDATED, scope.key, "integration", "i", {}, {"n": number})
        await scene.ledger.integrations.put(an_integration(f"of {scope.key}", scope=scope), change=made)


async def audited(scene: LedgerScene) -> list[str]:
    """The records of the audit that wait."""
    lists = (await scene.contents()).lists
    return [entry for name, entries in lists.items() if name.partition(":")[0] == "audited" for entry in entries]


async def archive_all(scene: LedgerScene, archiver: Archiver) -> None:
    """Archive until nothing waits, however small the batches are."""
    while (await scene.ledger.outbox.lag()).waiting:
        await archiver.step()


async def archived(history: HistoryDatabase) -> dict[str, int]:
    """The number of archived jobs by store."""
    return {str(scope): int(count) for scope, count in await rows(history, JOBS)}


async def test_a_backlog_of_one_store_does_not_delay_another(
    stores: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    backlog = 3 * BATCH_ENTRIES
    await deliver(stores, SCOPE, backlog)
    await deliver(stores, ELSEWHERE, 1)
    assert (await stores.ledger.outbox.lag()).waiting == backlog + 1

    await archiver.step()

    first = await archived(empty_history)
    assert first[ELSEWHERE.key] == 1
    assert first[SCOPE.key] < backlog
    assert (await stores.ledger.outbox.lag()).waiting == backlog + 1 - sum(first.values())
    # What comes later passes what still waits.
    await stores.open([(await stores.publish("later"))[0]], "elsewhere")
    (claim,) = await stores.claim("elsewhere")
    await stores.settle(claim, Verdict.SUCCEEDED)
    await archiver.step()
    assert (await archived(empty_history))[SCOPE.key] < backlog
    assert (claim.job_id,) in await rows(empty_history, "SELECT id::text FROM edw.jobs")

    await archive(archiver)

    assert sum((await archived(empty_history)).values()) == backlog + 2
    while await forget(stores.ledger):
        pass
    contents = await stores.contents()
    assert (contents.jobs, contents.events, contents.logs) == ({}, {}, [])
    assert not {name for name in contents.lists if name.partition(":")[0] in ("ended", "turns", "archived")}


async def test_stores_with_backlogs_share_each_batch(
    stores: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_batches, "BATCH_ENTRIES", 20)
    await deliver(stores, SCOPE, 150)
    await deliver(stores, ELSEWHERE, 50)

    for turn in (1, 2, 3):
        await archiver.step()
        assert await archived(empty_history) == {SCOPE.key: 10 * turn, ELSEWHERE.key: 10 * turn}


async def test_no_more_is_sorted_before_a_batch_than_its_calls_allow(
    stores: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_batches, "BATCH_ENTRIES", 10)
    monkeypatch.setattr(outbox_batches, "SORT_CALLS", 1)
    await deliver(stores, SCOPE, 400)
    await deliver(stores, ELSEWHERE, 20)

    await archiver.step()

    assert await archived(empty_history) == {SCOPE.key: 10}
    assert len((await stores.contents()).lists["ended"]) == 220
    await archive_all(stores, archiver)
    assert await archived(empty_history) == {SCOPE.key: 400, ELSEWHERE.key: 20}


async def test_whatever_kind_a_record_is_of_it_is_archived_with_its_store(
    stores: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_batches, "BATCH_ENTRIES", 2)
    await deliver(stores, SCOPE, 4, Verdict.RETRY)
    await deliver(stores, ELSEWHERE, 4, Verdict.FAILED)
    for n in range(3):
        await stores.open(await stores.publish(f"unmatched {n}"))
    # The lane is gone: its event says whose the job is.
    await stores.key("DEL", "lane:elsewhere")
    # An event whose record Redis lost, and a job that was.
    await stores.key("RPUSH", "ended", *3 * ["!1 00000000-0000-0000-0000-000000000000", "lost"])

    await archive_all(stores, archiver)

    assert Counter(await rows(empty_history, "SELECT scope, succeeded FROM edw.logs")) == {
        (SCOPE.key, False): 4,
        (ELSEWHERE.key, False): 4,
    }
    assert await archived(empty_history) == {ELSEWHERE.key: 4}
    assert Counter(await rows(empty_history, "SELECT scope FROM edw.events")) == {(SCOPE.key,): 3, (ELSEWHERE.key,): 4}
    assert (await stores.ledger.outbox.lag()).waiting == 0


async def test_a_backlog_of_one_stores_audit_does_not_delay_another_stores(
    stores: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_batches, "BATCH_ENTRIES", 6)
    await change(stores, SCOPE, 30)
    await change(stores, ELSEWHERE, 4)
    await change(stores, Scope(), 1)
    await deliver(stores, SCOPE, 20)
    first = (await stores.contents()).lists["audited"][0]
    waiting = await stores.ledger.outbox.lag()

    await archiver.step()

    # Four lists share the first batch: those of three stores' changes, and that of one store's jobs.
    found = dict(await rows(empty_history, AUDIT))
    assert found == {SCOPE.key: 1, ELSEWHERE.key: 1, Scope().key: 1}
    assert await archived(empty_history) == {SCOPE.key: 1}
    left = await stores.ledger.outbox.lag()
    assert left.waiting == waiting.waiting - 4
    await archive_all(stores, archiver)
    assert dict(await rows(empty_history, AUDIT)) == {SCOPE.key: 30, ELSEWHERE.key: 4, Scope().key: 1}
    records = await rows(empty_history, "SELECT record FROM edw.changes ORDER BY at, id LIMIT 1")
    assert records == [(first.partition(" ")[2].encode(),)]
    assert not {name for name in (await stores.contents()).lists if name.partition(":")[0] in ("audited", "turns")}


async def test_the_age_of_what_is_sorted_counts(stores: LedgerScene) -> None:
    await change(stores, SCOPE, 2)
    await stores.key("LSET", "audited", 0, f"{SCOPE.key} [1000,1]")
    before = await stores.ledger.outbox.lag()
    assert before.lag > 365 * 24 * HOUR
    assert await stores.ledger.outbox.sort("audited", 1) == 2

    after = await stores.ledger.outbox.lag()

    assert (after.waiting, after.lag >= before.lag) == (2, True)


async def test_records_that_are_sorted_count_among_those_that_may_wait(
    stores: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await stores.key("RPUSH", "audited", *[f"{SCOPE.key} [1]"] * (MOST_AUDITED - 1))
    while await stores.ledger.outbox.sort("audited", 500):
        pass

    await change(stores, ELSEWHERE, 3)

    assert (await stores.ledger.outbox.lag()).waiting == MOST_AUDITED
    await stores.key("DEL", f"audited:{SCOPE.key}", "turns")
    await change(stores, ELSEWHERE, 1)
    await archive_all(stores, archiver)
    assert dict(await rows(empty_history, AUDIT)) == {ELSEWHERE.key: 2}, "the others are in the ledger"


async def test_an_entry_that_postgresql_refuses_loses_its_turn_and_keeps_its_place(
    stores: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_batches, "BATCH_ENTRIES", 2)
    await deliver(stores, SCOPE, 5)
    await deliver(stores, ELSEWHERE, 1)
    entry = (await stores.contents()).lists["ended"][0].removeprefix("+")
    await stores.key("HSET", f"job:{entry}", "reason", "a\0b")

    for _ in range(8):
        await archiver.step()

    assert await archived(empty_history) == {SCOPE.key: 4, ELSEWHERE.key: 1}
    assert (await stores.ledger.outbox.lag()).waiting == 1
    assert (await stores.job(entry)).reason == "a\0b"


async def test_a_fleet_that_has_no_history_any_more_forgets_what_was_sorted(
    stores: LedgerScene, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_batches, "BATCH_ENTRIES", 3)
    await deliver(stores, SCOPE, 10)
    await deliver(stores, ELSEWHERE, 10)
    await change(stores, SCOPE, 5)
    await archiver.step()
    assert "turns" in (await stores.contents()).lists
    waiting = Counter(await audited(stores))

    await stores.key("HDEL", "meta", "archived_at")
    await stores.retention_passes()

    contents = await stores.contents()
    assert Counter(await audited(stores)) == waiting, "records of the audit wait for another history"
    assert (contents.jobs, contents.events) == ({}, {})
    assert not {name for name in contents.lists if name.partition(":")[0] == "ended"}
