"""What happened reaches PostgreSQL, once and complete; only then does the ledger forget it."""

import asyncio
from dataclasses import replace

import pytest

from deliverers.exchange import SentRequest, WireRecord
from tests.counterparts.postgres import PostgresServer
from tests.integration.history.archive import KEPT, archive, forget, ledger_with_history, rows
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import an_event
from tests.waiting import eventually
from worker.domain.compact_id import compact_uuid
from worker.history.archive_rows import ArchiveRows
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase, HistoryUnavailable
from worker.history.days import DAYS_AHEAD
from worker.ledger import Verdict
from worker.ledger.events.inbox import OBSERVE_TRIES
from worker.ledger.events.wire_event import stored_of

JOBS = "SELECT id::text, state, attempts, epoch FROM edw.jobs ORDER BY opened_at, id"
LOGS = "SELECT job::text, attempt, succeeded FROM edw.logs ORDER BY job, attempt"


async def test_a_delivered_event_is_archived_byte_for_byte_and_then_forgotten(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await played.register("i-1", "i-2")
    event = an_event(
        "e-1", data=b'{"type": "order", "id": "1", "note": "%s"}' % (b"\xc3\xbc\\u0000\\ud83d\\ude00" * 200)
    )
    await played.ledger.inbox.accept([event])
    stored = list((await played.ledger.inbox.load([event.ref])).events)
    await played.open(stored, "i-1", "i-2")
    claims = await played.claim("i-1", "i-2")
    for claim in claims:
        await played.settle(claim, Verdict.SUCCEEDED)
    assert await forget(played.ledger) == 0, "nothing is archived yet"

    await archive(archiver)

    ((ref, head, payload),) = await rows(
        empty_history, "SELECT ref, head, payload FROM edw.events JOIN edw.payloads USING (ref, day)"
    )
    kept = stored_of(compact_uuid(ref), head + payload)
    assert kept is not None
    assert (kept.ref, kept.event.raw, kept.sequence) == (event.ref, event.raw, stored[0].sequence)
    assert await rows(empty_history, JOBS) == [(each.job_id, "succeeded", 1, 0) for each in sorted(claims, key=_by_id)]
    assert await rows(empty_history, LOGS) == [(each.job_id, 1, True) for each in sorted(claims, key=_by_id)]
    assert await rows(empty_history, "SELECT count(DISTINCT day) FROM edw.events") == [(1,)]
    await forget(played.ledger)
    contents = await played.contents()
    assert not contents.events
    assert (contents.jobs, contents.logs) == ({}, [])
    assert not {name for name in contents.lists if name.startswith("logs:")}
    assert "archived" not in contents.lists


def _by_id(claim: object) -> str:
    return str(getattr(claim, "job_id", ""))


async def test_what_nobody_observes_and_what_cannot_be_observed_is_archived(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await played.open(await played.publish("unmatched"))
    (bad,) = await played.publish("bad")
    for _ in range(OBSERVE_TRIES):
        await played.set_aside(bad)

    await archive(archiver)

    found = {
        compact_uuid(ref): is_set for ref, is_set in await rows(empty_history, "SELECT ref, set_aside FROM edw.events")
    }
    assert found == {an_event("unmatched").ref: False, bad.ref: True}


async def test_the_logs_of_a_job_that_goes_on_are_archived_in_time(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await played.register("i-1")
    (job,) = await played.owe("i-1", "e-1")
    (claim,) = await played.claim("i-1")
    made = settlement(claim, Verdict.RETRY, delay=HOUR)
    request = WireRecord(request=SentRequest("POST", "https://shop.example", ()))
    await played.ledger.jobs.settle([replace(made, log=replace(made.log, exchange=request))])

    await archive(archiver)

    assert await rows(empty_history, LOGS) == [(job, 1, False)]
    ((exchange,),) = await rows(empty_history, "SELECT exchange FROM edw.logs")
    assert b"https://shop.example" in exchange
    assert await rows(empty_history, JOBS) == []
    await forget(played.ledger)
    assert (await played.contents()).logs == []
    assert (await played.job(job)).attempts == 1, "the job itself stays in the ledger"
    # Its next attempt has the next number.
    await played.ledger.redelivery.redeliver([job])
    (again,) = await played.claim("i-1")
    assert again.attempt == 2


async def test_a_job_that_is_redelivered_in_between_goes_on_in_the_ledger_and_is_archived_again(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await played.register("i-1")
    (job,) = await played.owe("i-1", "e-1")
    (claim,) = await played.claim("i-1")
    await played.settle(claim, Verdict.FAILED)
    await archive(archiver)

    await played.ledger.redelivery.redeliver([job])
    await forget(played.ledger)

    (again,) = await played.claim("i-1")
    assert again.attempt == 2
    await played.settle(again, Verdict.SUCCEEDED)
    await archive(archiver)
    assert await rows(empty_history, JOBS) == [(job, "succeeded", 2, 1)]
    assert await rows(empty_history, LOGS) == [(job, 1, False), (job, 2, True)]
    await forget(played.ledger)
    assert (await played.contents()).jobs == {}


async def test_a_log_that_replaces_an_archived_one_is_archived_before_it_is_forgotten(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await played.register("i-1")
    dead = await played.another(history=True)
    (job,) = await played.owe("i-1", "e-1")
    (claim,) = await played.claim("i-1", by=dead)
    await played.die(dead)
    (seized,) = await played.ledger.fleet.seize()
    await played.settle(seized, Verdict.FAILED, lost=True)
    await archive(archiver)
    # The process that was taken for dead reports what really came of the attempt.
    assert await played.settle(claim, Verdict.SUCCEEDED, by=dead) == "stale"

    await forget(played.ledger)

    assert (await played.log(job, 1)).succeeded, "it is not archived yet"
    await archive(archiver)
    assert await rows(empty_history, LOGS) == [(job, 1, True)]
    await eventually(lambda: _nothing_is_left(played), "the ledger has forgotten all")


async def _nothing_is_left(scene: LedgerScene) -> bool:
    await forget(scene.ledger)
    contents = await scene.contents()
    return not contents.jobs and not contents.logs and "archived" not in contents.lists


async def test_an_event_is_kept_until_all_of_its_jobs_are_archived(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await played.register("i-1", "i-2")
    stored = await played.publish("e-1")
    await played.open(stored, "i-1", "i-2")
    first, second = await played.claim("i-1", "i-2")
    await played.settle(first, Verdict.SUCCEEDED)
    await played.settle(second, Verdict.RETRY, delay=HOUR)
    await archive(archiver)
    await forget(played.ledger)
    assert await played.is_kept(stored[0].ref)
    history = await played.ledger.events.show(stored[0].ref, 0, 10)
    assert history is not None
    assert history.forgotten == {first.job_id}

    await played.ledger.redelivery.redeliver([second.job_id])
    (last,) = await played.claim("i-1", "i-2")
    await played.settle(last, Verdict.SUCCEEDED)
    await archive(archiver)
    await forget(played.ledger)

    assert not await played.is_kept(stored[0].ref)
    places = dict(await rows(empty_history, "SELECT id::text, place FROM edw.jobs"))
    assert sorted(places.values()) == [0, 1]


async def test_what_is_archived_stays_in_the_ledger_for_its_window(
    scene: LedgerScene, empty_history: HistoryDatabase
) -> None:
    patient = await ledger_with_history(scene, window=3_600_000)
    archiver = Archiver(patient.ledger, empty_history, KEPT)
    await patient.register("i-1")
    (job,) = await patient.owe("i-1", "e-1")
    (claim,) = await patient.claim("i-1")
    await patient.settle(claim, Verdict.SUCCEEDED)
    await archive(archiver)
    assert await forget(patient.ledger) == 0
    assert (await patient.job(job)).attempts == 1
    # A process without a history forgets nothing that is not archived, as long as the fleet has one.
    await patient.owe("i-1", "e-2")
    (claim,) = await patient.claim("i-1")
    await patient.settle(claim, Verdict.SUCCEEDED)
    without = await scene.another(event_retention=0)
    await forget(without)
    assert (await patient.job(claim.job_id)).attempts == 1
    await archiver.close()


async def test_one_process_archives_at_a_time_and_another_takes_over(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, postgres: PostgresServer
) -> None:
    await played.register("i-1")
    for part in range(2):
        await played.owe("i-1", *(f"e-{part}-{n}" for n in range(75)))
    while claims := await played.claim("i-1"):
        await played.ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED) for each in claims])
    other = await ledger_with_history(played)
    second = Archiver(other.ledger, HistoryDatabase(postgres.url(empty_history.address.rpartition("/")[2])), KEPT)
    await archiver.step()
    assert await second.step() > 1, "it waits for the lease"

    # The first one freezes in the middle, and its lease runs out.
    await played.key("DEL", "archiver")
    await archive(second)
    assert archiver._writer is not None
    with pytest.raises(HistoryUnavailable, match="another process archives now"):
        await archiver._writer.write(ArchiveRows({}, ()))

    assert await rows(empty_history, "SELECT count(*) FROM edw.jobs") == [(150,)]
    await second.close()


async def test_a_death_between_writing_and_noting_it_changes_nothing(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await played.register("i-1")
    (job,) = await played.owe("i-1", "e-1")
    (claim,) = await played.claim("i-1")
    await played.settle(claim, Verdict.SUCCEEDED)

    async def dies(_: object) -> bool:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(played.ledger.outbox, "done", dies)
        with pytest.raises(ConnectionResetError):
            await archiver.step()
    assert await rows(empty_history, JOBS) == [(job, "succeeded", 1, 0)]
    assert await forget(played.ledger) == 0

    await archive(archiver)

    assert await rows(empty_history, JOBS) == [(job, "succeeded", 1, 0)]
    assert await forget(played.ledger) > 0


async def test_an_entry_that_postgresql_refuses_keeps_no_other_from_being_archived(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    await played.register("i-1")
    jobs = await played.owe("i-1", "e-1", "e-2", "e-3")
    for claim in await played.claim("i-1"):
        await played.settle(claim, Verdict.SUCCEEDED)
    # No release of ours writes it; an accident would.
    await played.key("HSET", f"job:{jobs[0]}", "reason", "a\0b")

    await archiver.step()

    assert {row[0] for row in await rows(empty_history, JOBS)} == set(jobs[1:])
    await forget(played.ledger)
    assert (await played.job(jobs[0])).reason == "a\0b"
    assert (await played.ledger.outbox.lag()).waiting == 1


async def test_days_are_made_ahead_by_the_ledgers_clock(
    played: LedgerScene, archiver: Archiver, empty_history: HistoryDatabase
) -> None:
    await archiver.step()
    ((days,),) = await rows(empty_history, "SELECT count(*) FROM pg_class WHERE relname ~ '^logs_[0-9]{8}$'")
    assert days == DAYS_AHEAD + 1


async def test_the_lag_is_what_the_oldest_record_has_waited(played: LedgerScene, archiver: Archiver) -> None:
    await played.register("i-1")
    assert (await played.ledger.outbox.lag()).waiting == 0
    (job,) = await played.owe("i-1", "e-1")
    (claim,) = await played.claim("i-1")
    await played.settle(claim, Verdict.SUCCEEDED)
    await played.key("HINCRBY", f"job:{job}", "ended_at", -60_000)
    found = await played.ledger.outbox.lag()
    assert (found.waiting, found.lag >= 60_000) == (1, True)
    status = await played.ledger.status.read()
    assert status.outbox is not None
    assert status.outbox.waiting == 1
    await archive(archiver)
    assert (await played.ledger.outbox.lag()).lag == 0
    await asyncio.sleep(0)
