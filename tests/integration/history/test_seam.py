"""What reads the ledger goes on in the history: no gap, no double, and the same order wherever a record is."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.counterparts.postgres import PostgresServer
from tests.integration.history.archive import archive, forget
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import SCOPE, an_event
from tests.waiting import eventually
from worker.domain.affected_resource import AffectedResource
from worker.history import merging
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase, HistoryUnavailable
from worker.history.seam import join
from worker.ledger import Ledger, Verdict
from worker.ledger.pages import Page

ORDER = AffectedResource("order", "1")
DATA = b'{"type":"order","id":"1"}'
Reader = Callable[[Ledger, int, int], Awaitable[Page[Any]]]

#: The lists, and what names a record of each.
LISTS: dict[str, tuple[Reader, Callable[[Any], object]]] = {
    "logs of a store": (lambda at, o, n: at.logs.of_scope(SCOPE, o, n), lambda log: log.id),
    "failures of a store": (lambda at, o, n: at.logs.failures(SCOPE, o, n), lambda log: log.id),
    "logs of an integration": (lambda at, o, n: at.logs.of_integration("i-1", o, n), lambda log: log.id),
    "jobs of an integration": (lambda at, o, n: at.jobs.of_integration("i-1", o, n), lambda job: job.id),
    "events of a store": (lambda at, o, n: at.events.page(SCOPE, o, n), lambda event: event.ref),
    "events of a resource": (lambda at, o, n: at.events.page(SCOPE, o, n, ORDER), lambda event: event.ref),
}


@pytest.fixture
async def both(played: LedgerScene, history: HistoryDatabase) -> Ledger:
    """What an API process reads with."""
    opened: Ledger = await played.another(history=True)
    join(opened, history)
    return opened


async def deliver(scene: LedgerScene, first: int, count: int, lanes: Sequence[str] = ("i-1", "i-2")) -> list[str]:
    """Events that were delivered to some receivers, and failed at others; return their references."""
    events = [an_event(f"e-{n}", data=DATA) for n in range(first, first + count)]
    await scene.ledger.inbox.accept(events)
    stored = list((await scene.ledger.inbox.load([each.ref for each in events])).events)
    await scene.open(stored, *lanes)
    while claims := await scene.claim(*lanes):
        verdicts = (Verdict.SUCCEEDED, Verdict.FAILED)
        await scene.ledger.jobs.settle([settlement(each, verdicts[n % 2]) for n, each in enumerate(claims)])
    return [each.ref for each in events]


async def everything(at: Ledger, name: str) -> list[object]:
    """Return the names of all records of a list."""
    read, named = LISTS[name]
    return [named(each) for each in (await read(at, 0, 100)).items]


async def test_lists_are_the_same_wherever_their_records_are(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    await played.register("i-1", "i-2")
    await deliver(played, 0, 6)
    # One that goes on keeps its place among those that are forgotten.
    (pending,) = await played.owe("i-1", "pending")
    (claim,) = await played.claim("i-1")
    await played.settle(claim, Verdict.RETRY, delay=HOUR)
    await deliver(played, 6, 6)
    before = {name: await everything(both, name) for name in LISTS}
    sizes = {name: len(found) for name, found in before.items()}
    assert sizes == {
        "logs of a store": 25,
        "failures of a store": 13,
        "logs of an integration": 13,
        "jobs of an integration": 13,
        "events of a store": 13,
        "events of a resource": 12,
    }

    async def pages_are_unchanged(when: str) -> None:
        for name, (read, named) in LISTS.items():
            pages = [await read(both, offset, 7) for offset in range(0, sizes[name], 7)]
            assert [named(each) for page in pages for each in page.items] == before[name], (name, when)
            assert {(page.total, page.at_least) for page in pages} == {(sizes[name], False)}, (name, when)

    await pages_are_unchanged("nothing is archived")
    # Little by little, so that each list is cut in many places.
    for step in range(100):
        batch = await played.ledger.outbox.take("ended", 0, 3)
        if not batch.entries:
            break
        await archiver._write([batch], *await archiver._connected())
        if step % 3 == 0:
            await pages_are_unchanged(f"archived, step {step}")
            await played.ledger.redis.run(
                "forget", limit=4, event_retention=0, log_retention=HOUR, short=0, history=1, window=0
            )
            await pages_are_unchanged(f"forgotten, step {step}")
    await archive(archiver)
    await forget(played.ledger)
    await pages_are_unchanged("all is archived")
    assert {each.id for each in (await played.ledger.jobs.of_integration("i-1", 0, 100)).items} == {pending}


async def test_pages_are_stable_while_records_move_between_two_of_them(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    await played.register("i-1", "i-2")
    await deliver(played, 0, 6)
    before = {name: await everything(both, name) for name in LISTS}
    for name, (read, named) in LISTS.items():
        found: list[object] = []
        for offset in range(0, len(before[name]), 4):
            found += [named(each) for each in (await read(both, offset, 4)).items]
            batch = await played.ledger.outbox.take("ended", 0, 1)
            if batch.entries:
                await archiver._write([batch], *await archiver._connected())
            await played.ledger.fleet.forget()
        assert found == before[name], name


async def test_an_event_and_its_jobs_are_shown_from_both(played: LedgerScene, archiver: Archiver, both: Ledger) -> None:
    await played.register("i-1", "i-2", "i-3")
    (stored,) = await played.publish("e-1")
    await played.open([stored], "i-1", "i-2", "i-3")
    claims = await played.claim("i-1", "i-2", "i-3")
    await played.settle(claims[0], Verdict.SUCCEEDED)
    await played.settle(claims[1], Verdict.FAILED)
    await played.settle(claims[2], Verdict.RETRY, delay=HOUR)
    whole = await both.events.show(stored.ref, 0, 10)
    assert whole is not None

    await archive(archiver)
    await forget(played.ledger)
    partly = await both.events.show(stored.ref, 0, 10)
    assert partly is not None
    assert (partly.forgotten, partly.history_away) == (frozenset(), False)
    assert [(each.job.id, each.job.state, each.last_log) for each in partly.jobs] == [
        (each.job.id, each.job.state, each.last_log) for each in whole.jobs
    ]

    await played.ledger.redelivery.redeliver([claims[2].job_id])
    (last,) = await played.claim("i-3")
    await played.settle(last, Verdict.SUCCEEDED)
    await archive(archiver)
    await forget(played.ledger)
    assert await played.ledger.events.show(stored.ref, 0, 10) is None
    archived = await both.events.show(stored.ref, 0, 10)
    assert archived is not None
    assert archived.stored.event.raw == stored.event.raw
    assert archived.stored.sequence == stored.sequence
    assert [each.job.id for each in archived.jobs] == [each.job.id for each in whole.jobs]
    assert [each.last_log.attempt for each in archived.jobs if each.last_log] == [1, 1, 2]
    page = await both.events.show(stored.ref, 1, 1)
    assert page is not None
    assert ([each.job.id for each in page.jobs], page.total) == ([whole.jobs[1].job.id], 3)
    (job,) = await both.jobs.get([claims[1].job_id])
    assert job.state == "failed"
    logs = await both.logs.of_job(last.job_id, 0, 10, "i-3")
    assert [log.attempt for log in logs.items] == [2, 1]
    assert (logs.total, logs.integration_id, logs.scope_key) == (2, "i-3", SCOPE.key)
    assert await both.events.show(an_event("never").ref, 0, 10) is None


async def test_with_the_history_away_the_ledger_answers_and_says_so(
    played: LedgerScene,
    archiver: Archiver,
    both: Ledger,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await played.register("i-1", "i-2")
    (old,) = await deliver(played, 0, 1)
    await archive(archiver)
    await forget(played.ledger)
    (new,) = await deliver(played, 1, 1)
    postgres.kill()
    try:
        for name, (read, _) in LISTS.items():
            page = await read(both, 0, 10)
            assert page.history_away, name
            assert page.items, name
        kept = await both.events.show(new, 0, 10)
        assert kept is not None
        # Found nowhere is not the same as not there.
        with pytest.raises(HistoryUnavailable):
            await both.events.show(old, 0, 10)
        with pytest.raises(HistoryUnavailable):
            await both.jobs.get(["00000000-0000-0000-0000-000000000000"])
        with pytest.raises(HistoryUnavailable):
            await both.logs.of_job("00000000-0000-0000-0000-000000000000", 0, 10, "i-1")
    finally:
        postgres.start()
    # The reader finds out by itself that the server has restarted.
    monkeypatch.setattr("worker.history.database.REST_SECONDS", 0.0)
    await eventually(lambda: _is_shown(both, old), "the history answers again")


async def _is_shown(at: Ledger, ref: str) -> bool:
    try:
        return await at.events.show(ref, 0, 10) is not None
    except HistoryUnavailable:
        return False


async def test_what_is_older_than_a_time_is_found_at_once(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    await played.register("i-1", "i-2")
    await deliver(played, 0, 3)
    await archive(archiver)
    await forget(played.ledger)
    latest = (await both.logs.of_scope(SCOPE, 0, 1)).items[0].created_at
    await deliver(played, 3, 3)
    await archive(archiver)
    await deliver(played, 6, 3)
    logs = await both.logs.until(latest).of_scope(SCOPE, 0, 100)
    assert {log.created_at <= latest for log in logs.items} == {True}
    assert len(logs.items) >= 6
    jobs = await both.jobs.until(latest).of_integration("i-1", 0, 100)
    assert {job.opened_at <= latest for job in jobs.items} == {True}
    events = await both.events.until(latest).page(SCOPE, 0, 100)
    assert {event.accepted_at <= latest for event in events.items} == {True}
    assert len(events.items) >= 3
    assert len((await both.events.page(SCOPE, 0, 100)).items) == 9


async def test_a_total_is_exact_up_to_a_limit_and_then_a_lower_bound(
    played: LedgerScene, archiver: Archiver, both: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await played.register("i-1", "i-2")
    await deliver(played, 0, 6)
    await archive(archiver)
    await forget(played.ledger)
    await deliver(played, 6, 2)
    monkeypatch.setattr(merging, "DEEPEST", 16)
    page = await both.logs.of_scope(SCOPE, 0, 5)
    assert (page.total, page.at_least) == (16, False)
    monkeypatch.setattr(merging, "DEEPEST", 15)
    page = await both.logs.of_scope(SCOPE, 0, 5)
    assert (page.total, page.at_least) == (15, True)
    assert len((await both.logs.of_scope(SCOPE, 12, 5)).items) == 3, "the last page ends at the limit"
