"""What the ledger has forgotten is still known: ids, redelivery, and erasure."""

from typing import Any
from uuid import uuid4

import pytest

from tests.counterparts.postgres import PostgresServer
from tests.integration.history.archive import archive, forget, rows
from tests.ledger.scene import LedgerScene, settlement
from tests.samples import SCOPE, an_event, an_integration
from worker.domain.affected_resource import AffectedResource
from worker.domain.change import Actor
from worker.domain.compact_id import compact_uuid
from worker.domain.event import Event
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.job import JobState, job_id
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase, HistoryUnavailable
from worker.history.seam import join
from worker.integrations.redelivery import RedeliveryService, Selection
from worker.ledger import Acceptance, Ledger, Verdict
from worker.ledger.events.wire_event import stored_of

LANES = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
BY = Actor("", "somebody")
LATER = 4_000_000_000_000


@pytest.fixture
async def both(played: LedgerScene, history: HistoryDatabase) -> Ledger:
    """What an API process works with."""
    opened: Ledger = await played.another(history=True)
    join(opened, history)
    return opened


async def delivered(
    scene: LedgerScene, archiver: Archiver, *ids: str, verdict: Verdict = Verdict.SUCCEEDED
) -> list[str]:
    """Events with a job on each lane, archived and forgotten; return their references."""
    await scene.register(*LANES)
    events = [an_event(each, data=b'{"type":"order","id":"1","secret":"%s"}' % each.encode()) for each in ids]
    await scene.ledger.inbox.accept(events)
    stored = list((await scene.ledger.inbox.load([each.ref for each in events])).events)
    await scene.open(stored, *LANES)
    while claims := await scene.claim(*LANES):
        await scene.ledger.jobs.settle([settlement(each, verdict) for each in claims])
    await archive(archiver)
    await forget(scene.ledger)
    assert (await scene.contents()).jobs == {}
    return [each.ref for each in events]


async def test_the_id_of_a_forgotten_event_counts_as_a_duplicate(played: LedgerScene, archiver: Archiver) -> None:
    await archiver.step()
    await delivered(played, archiver, "e-1")
    assert await played.ledger.inbox.accept([an_event("e-1"), an_event("e-2"), an_event("e-1")]) == [
        Acceptance.DUPLICATE,
        Acceptance.NEW,
        Acceptance.DUPLICATE,
    ]
    buckets = {name: len(found) for name, found in (await played.contents()).sets.items() if name.startswith("known:")}
    assert list(buckets.values()) == [1]
    ttls = (await played.contents()).ttls
    assert all(0 < ttls[name] <= 36 * 3_600_000 for name in buckets)


async def test_ids_are_remembered_for_their_window_and_no_longer(played: LedgerScene, archiver: Archiver) -> None:
    await archiver.step()
    await delivered(played, archiver, "e-1")
    half = 12 * 3_600_000
    (bucket,) = [name for name in (await played.contents()).sets if name.startswith("known:")]
    number = int(bucket.partition(":")[2])
    for age, answer in ((1, Acceptance.DUPLICATE), (2, Acceptance.DUPLICATE), (3, Acceptance.NEW)):
        await played.key("COPY", bucket, f"{played.ledger.redis.prefix}known:{number - age}")
        await played.key("DEL", bucket)
        assert await played.ledger.inbox.accept([an_event("e-1")]) == [answer], (age, half)
        await played.key("COPY", f"known:{number - age}", f"{played.ledger.redis.prefix}{bucket}")
        await played.key("DEL", f"known:{number - age}")


async def test_ids_that_we_made_are_not_looked_up(played: LedgerScene, archiver: Archiver) -> None:
    await archiver.step()
    from config.observable_events import load_catalogue

    rules = EventRules(load_catalogue(()), 1 << 20)
    made = parse_event({"type": "order.paid", "data": {"n": 1}}, rules, scope=SCOPE)
    given = parse_event({"id": str(uuid4()), "type": "order.paid", "data": {"n": 1}}, rules, scope=SCOPE)
    assert isinstance(made, Event)
    assert isinstance(given, Event)
    assert (made.made, given.made) == (True, False)


async def test_a_single_job_is_redelivered_from_the_history(
    played: LedgerScene, archiver: Archiver, both: Ledger, history: HistoryDatabase
) -> None:
    (ref,) = await delivered(played, archiver, "e-1")
    job = job_id(ref, LANES[0])
    ((before,),) = await rows(history, "SELECT head FROM edw.events")
    accepted = await played.counter("accepted")

    assert await both.redelivery.redeliver([job], "mark") == ["reopened"]
    assert await both.redelivery.redeliver([job], "mark") == ["known"], "a repetition of the call changes nothing"

    (claim,) = await played.claim(*LANES)
    assert (claim.job_id, claim.attempt) == (job, 2)
    assert claim.event is not None
    assert claim.event.event.data == an_event("e-1", data=b'{"type":"order","id":"1","secret":"e-1"}').data
    kept = await both.events.show(ref, 0, 10)
    assert kept is not None
    assert [each.job.integration_id for each in kept.jobs] == list(LANES), "the other job is shown from the history"
    await played.settle(claim, Verdict.SUCCEEDED)
    assert await played.counter("accepted") == accepted
    status = await played.ledger.status.read()
    assert (status.events_balance, status.jobs_balance) == (0, 0)
    await archive(archiver)
    await forget(played.ledger)
    assert (await played.contents()).jobs == {}
    assert await rows(history, "SELECT attempts, epoch FROM edw.jobs ORDER BY epoch DESC LIMIT 1") == [(2, 1)]
    assert await rows(history, "SELECT head FROM edw.events") == [(before,)]
    # The mark is archived too.
    assert await both.redelivery.redeliver([job], "mark") == ["known"]


async def test_jobs_are_redelivered_by_time_and_state_from_both(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    await delivered(played, archiver, "e-1", "e-2", "e-3", verdict=Verdict.FAILED)
    await played.owe(LANES[0], "e-4")
    for claim in await played.claim(*LANES):
        await played.settle(claim, Verdict.FAILED)
    integration = an_integration(LANES[0])
    service, selection = RedeliveryService(both), Selection(0, LATER, frozenset({JobState.FAILED}))

    tried = await service.run(integration, selection, "mark", BY, dry_run=True)
    done = await service.run(integration, selection, "mark", BY)
    again = await service.run(integration, selection, "mark", BY)

    assert (tried.reopened, done.reopened, again.reopened) == (4, 4, 0)
    assert done.next is None
    assert {claim.integration_id for claim in await played.claim(*LANES)} == {LANES[0]}, "nobody else gets it again"


async def test_missed_events_of_the_past_are_opened_for_one_integration(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    await delivered(played, archiver, "e-1", "e-2")
    late = "33333333-3333-4333-8333-333333333333"
    await played.register(late)
    service, selection = RedeliveryService(both), Selection(0, LATER, frozenset(), missing=True)

    tried = await service.run(an_integration(late), selection, "", BY, dry_run=True)
    done = await service.run(an_integration(late), selection, "", BY)
    again = await service.run(an_integration(late), selection, "", BY)
    had = await service.run(an_integration(LANES[0]), selection, "", BY)

    assert (tried.opened, done.opened, again.opened, had.opened) == (2, 2, 0, 0)
    assert {claim.integration_id for claim in await played.claim(late, *LANES)} == {late}


@pytest.mark.parametrize(("wanted", "opened"), [({"secret": {"$startsWith": "e-"}}, 2), ({"secret": "x"}, 0)])
async def test_a_filter_is_asked_about_missed_events_of_the_past(
    played: LedgerScene, archiver: Archiver, both: Ledger, wanted: dict[str, Any], opened: int
) -> None:
    await delivered(played, archiver, "e-1", "e-2")
    late = "33333333-3333-4333-8333-333333333333"
    await played.register(late)
    service, selection = RedeliveryService(both), Selection(0, LATER, frozenset(), missing=True)

    done = await service.run(an_integration(late, filter={"data": wanted}), selection, "", BY)

    assert (done.opened, done.filtered) == (opened, 2 - opened)


async def test_what_is_restored_and_not_redelivered_is_forgotten_again(
    played: LedgerScene, archiver: Archiver, both: Ledger
) -> None:
    (ref,) = await delivered(played, archiver, "e-1")
    events, jobs = await both.redelivery._history.restorable([job_id(ref, LANES[0])])  # type: ignore[attr-defined]  # of the seam
    assert await both.redelivery.restore(events, jobs) == 1
    assert await both.redelivery.restore(events, jobs) == 0
    assert await played.is_kept(ref)
    await forget(played.ledger)
    assert not await played.is_kept(ref)
    assert "archived" not in (await played.contents()).lists


async def test_an_event_without_its_data_cannot_be_redelivered(
    played: LedgerScene, archiver: Archiver, both: Ledger, history: HistoryDatabase
) -> None:
    (ref,) = await delivered(played, archiver, "e-1", verdict=Verdict.FAILED)
    async with history.connection() as connection:
        await connection.execute("DELETE FROM edw.payloads")
        await connection.commit()
    assert await both.redelivery.redeliver([job_id(ref, LANES[0])]) == ["gone"]
    done = await RedeliveryService(both).run(
        an_integration(LANES[0]), Selection(0, LATER, frozenset({JobState.FAILED})), "", BY
    )
    assert (done.reopened, done.gone) == (0, 1)
    shown = await both.events.show(ref, 0, 10)
    assert shown is not None
    assert (shown.stored.event.id, shown.total) == ("e-1", 2)


async def test_erasure_reaches_the_history(
    played: LedgerScene, archiver: Archiver, both: Ledger, history: HistoryDatabase
) -> None:
    refs = await delivered(played, archiver, "e-1", "e-2")

    assert await both.erasure.erase(refs[0])
    assert not await both.erasure.erase(an_event("never").ref)
    await archive(archiver)

    kept = {
        compact_uuid(ref): stored_of(compact_uuid(ref), head + payload)
        for ref, head, payload in await rows(
            history, "SELECT ref, head, payload FROM edw.events JOIN edw.payloads USING (ref, day)"
        )
    }
    erased, other = kept[refs[0]], kept[refs[1]]
    assert erased is not None
    assert other is not None
    assert (erased.erased, erased.event.data, other.erased) == (True, b"{}", False)
    assert b"e-2" in other.event.data
    assert (await played.contents()).sets.get("tombstones") is None
    shown = await both.events.show(refs[0], 0, 10)
    assert shown is not None
    assert (shown.stored.erased, len(shown.jobs)) == (True, 2)
    assert await both.redelivery.redeliver([job_id(refs[0], LANES[0])]) == ["gone"]
    found = await both.events.page(SCOPE, 0, 10, AffectedResource("order", "1"))
    assert [each.ref for each in found.items] == [refs[1]]


async def test_an_event_that_is_erased_on_its_way_does_not_reach_the_history(
    played: LedgerScene, archiver: Archiver, both: Ledger, history: HistoryDatabase
) -> None:
    await played.register(*LANES)
    await played.owe(LANES[0], "e-1")
    (claim,) = await played.claim(LANES[0])
    await played.settle(claim, Verdict.SUCCEEDED)
    # It is erased between the archiver's reading and its writing.
    batch = await played.ledger.outbox.take("ended")
    assert await both.erasure.erase(an_event("e-1").ref)
    await archiver._write([batch], *await archiver._connected())
    assert await rows(history, "SELECT count(*) FROM edw.payloads WHERE length(payload) > 0") == [(1,)]
    await archive(archiver)
    ((head, payload),) = await rows(history, "SELECT head, payload FROM edw.events JOIN edw.payloads USING (ref, day)")
    found = stored_of(an_event("e-1").ref, head + payload)
    assert found is not None
    assert found.erased
    assert b'"n"' not in found.event.raw


async def test_a_tombstone_waits_while_postgresql_is_away(
    played: LedgerScene, archiver: Archiver, both: Ledger, postgres: PostgresServer
) -> None:
    (old,) = await delivered(played, archiver, "e-1")
    await played.owe(LANES[0], "e-2")
    postgres.kill()
    try:
        assert await both.erasure.erase(an_event("e-2").ref)
        with pytest.raises(HistoryUnavailable):
            await both.erasure.erase(old)
        assert (await played.contents()).sets["tombstones"] == {an_event("e-2").ref}
    finally:
        postgres.start()
