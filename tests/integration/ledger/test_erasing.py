"""Erasure: an event's data and the answers to it go, from attempts that are under way too; the counts stay."""

from dataclasses import replace

import pytest

from deliverers.exchange import SentRequest, WireRecord
from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import SCOPE, an_event
from worker.domain.affected_resource import AffectedResource
from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.claim import Claim
from worker.domain.event import Event
from worker.domain.job import JobState, job_id
from worker.ledger import Acceptance, Verdict
from worker.ledger.events.erasure import JOBS_PER_ERASURE
from worker.ledger.events.wire_event import without_data

SECRET = "personal-data"
ODD_ANSWER = f'a "quoted" {SECRET} \\ back\\\\slash \u2028 {{"x": [1, "]"]}} \\'
CHANGE = Change(Actor("0" * 16, "somebody"), ChangeAction.EVENT_ERASED, SCOPE.key, "event", "e-1")


def personal(event_id: str = "e-1") -> Event:
    return an_event(event_id, data=b'{"type":"order","id":"123","name":"%s"}' % SECRET.encode())


async def owed(scene: LedgerScene, *lanes: str, event: Event | None = None) -> Event:
    given = event or personal()
    await scene.register(*lanes)
    await scene.ledger.inbox.accept([given])
    await scene.open(list((await scene.ledger.inbox.load([given.ref])).events), *lanes)
    return given


async def settle(scene: LedgerScene, claim: Claim, verdict: Verdict, *, lost: bool = False) -> str:
    made = settlement(claim, verdict, delay=HOUR, lost=lost)
    exchange = WireRecord(request=SentRequest("POST", f"https://shop.example/{SECRET}", ()))
    log = replace(made.log, body=ODD_ANSWER, exchange=exchange)
    (result,) = (await scene.ledger.jobs.settle([replace(made, log=log)])).results
    return result


async def test_nothing_of_the_data_and_of_the_answers_is_left_and_what_is_pending_is_cancelled(
    scene: LedgerScene,
) -> None:
    event = await owed(scene, "ended", "fails", "waits")
    ended, fails = (await scene.claim("ended"))[0], (await scene.claim("fails"))[0]
    await settle(scene, ended, Verdict.SUCCEEDED)
    await settle(scene, fails, Verdict.RETRY)
    before = [await scene.log(claim.job_id, 1) for claim in (ended, fails)]
    assert before[0].body == ODD_ANSWER

    assert await scene.ledger.erasure.erase(event.ref, CHANGE)

    assert (await scene.ledger.events.page(SCOPE, 0, 10, AffectedResource("order", "123"))).items == []
    contents = await scene.contents()
    texts = [*contents.strings.values(), *(str(row).encode() for row in contents.hashes.values())]
    assert not [text for text in texts if SECRET.encode() in text]
    assert await scene.state(ended.job_id) == (JobState.SUCCEEDED, "")
    for lane in ("fails", "waits"):
        assert await scene.state(job_id(event.ref, lane)) == (JobState.CANCELLED, "erased")
    after = [await scene.log(claim.job_id, 1) for claim in (ended, fails)]
    assert after == [replace(log, body="") for log in before]
    found = await scene.ledger.events.show(event.ref, 0, 10)
    assert found is not None
    assert (found.stored.erased, found.stored.event.id, found.stored.event.type) == (True, "e-1", "order.paid")
    (recorded,) = (await scene.ledger.changes.of_scope(SCOPE, 0, 10)).items
    assert recorded.action is ChangeAction.EVENT_ERASED


async def test_it_is_still_a_duplicate_and_erased_once(scene: LedgerScene) -> None:
    event = await owed(scene, "i-1")
    for _ in range(2):
        assert await scene.ledger.erasure.erase(event.ref, CHANGE)
    assert await scene.ledger.inbox.accept([personal(), an_event()]) == [Acceptance.DUPLICATE, Acceptance.DIFFERS]
    assert len((await scene.ledger.changes.of_scope(SCOPE, 0, 10)).items) == 1
    assert not await scene.ledger.erasure.erase(an_event("another").ref, CHANGE)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.SUCCEEDED, (JobState.SUCCEEDED, "")),
        (Verdict.RETRY, (JobState.CANCELLED, "erased")),
        (Verdict.FAILED, (JobState.CANCELLED, "erased")),
    ],
)
async def test_an_attempt_under_way_keeps_no_answer_and_is_the_last(
    scene: LedgerScene, verdict: Verdict, state: tuple[JobState, str]
) -> None:
    event = await owed(scene, "i-1")
    (claim,) = await scene.claim("i-1")
    await scene.ledger.erasure.erase(event.ref)

    assert await settle(scene, claim, verdict) == "settled"

    assert await scene.state(claim.job_id) == state
    assert (await scene.log(claim.job_id, 1)).body == ""
    assert not [name for name in (await scene.contents()).hashes if name.startswith("exchanges:")]
    assert (await scene.ledger.status.read()).jobs_balance == 0


async def test_a_job_that_is_given_back_is_cancelled_and_a_dead_workers_too(scene: LedgerScene) -> None:
    event = await owed(scene, "back", "dead")
    (back,) = await scene.claim("back")
    other = await scene.another()
    await scene.claim("dead", by=other)
    await scene.ledger.erasure.erase(event.ref)

    await scene.ledger.jobs.release([back])
    await scene.die(other)
    for claim in await scene.ledger.fleet.seize():
        await settle(scene, claim, Verdict.RETRY, lost=True)

    for lane in ("back", "dead"):
        assert await scene.state(job_id(event.ref, lane)) == (JobState.CANCELLED, "erased")


async def test_it_is_not_delivered_again(scene: LedgerScene) -> None:
    event = await owed(scene, "i-1")
    await scene.ledger.erasure.erase(event.ref)
    job = job_id(event.ref, "i-1")
    assert await scene.ledger.redelivery.redeliver([job]) == ["gone"]
    await scene.register("new")
    missing = job_id(event.ref, "new")
    assert await scene.ledger.redelivery.open_missing("new", [(missing, event.ref)]) == (0, False)


async def test_an_event_that_waits_to_be_observed_leaves_the_inbox(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.ledger.inbox.accept([personal()])
    loaded = (await scene.ledger.inbox.load([personal().ref])).events

    await scene.ledger.erasure.erase(personal().ref)
    # A worker that had loaded it opens no job.
    await scene.open(list(loaded), "i-1")

    status = await scene.ledger.status.read()
    assert (status.inbox, status.pending, status.events_balance) == (0, 0, 0)
    await scene.retention_passes()
    assert not await scene.is_kept(personal().ref)


async def test_what_a_dead_caller_began_the_sweeps_finish(scene: LedgerScene) -> None:
    lanes = [f"i-{n}" for n in range(2 * JOBS_PER_ERASURE + 1)]
    event = await owed(scene, *lanes)
    await scene.ledger.erasure._chunk(event.ref, blobs=[await raw_without_data(scene, event)])
    assert (await scene.ledger.status.read()).pending == JOBS_PER_ERASURE + 1

    assert [await scene.ledger.erasure.resume() for _ in range(3)] == [JOBS_PER_ERASURE, 1, 0]

    assert (await scene.ledger.status.read()).pending == 0
    assert "erasing" not in (await scene.contents()).sets


async def raw_without_data(scene: LedgerScene, event: Event) -> bytes:
    record: bytes = await raw.command(scene.ledger, "GET", f"event:{event.ref}")
    return without_data(record)


async def test_a_job_that_is_opened_while_the_data_is_left_out_is_cancelled_too(scene: LedgerScene) -> None:
    event = personal()
    await scene.register("i-1")
    await scene.ledger.inbox.accept([event])
    erased = await raw_without_data(scene, event)
    await scene.open(list((await scene.ledger.inbox.load([event.ref])).events), "i-1")

    await scene.ledger.erasure._chunk(event.ref, blobs=[erased])

    assert await scene.jobs_of(event.ref) == [job_id(event.ref, "i-1")]
    assert await scene.state(job_id(event.ref, "i-1")) == (JobState.CANCELLED, "erased")


@pytest.mark.parametrize("lane", ["i-1", "4ae281d1-634d-4d2a-bf64-7162c1e77cbf"])
async def test_an_answer_of_any_length_is_erased_and_nothing_else_of_the_log(scene: LedgerScene, lane: str) -> None:
    bodies = ["", "x" * 31, "x" * 32, "ü" * 127, "x" * 256, SECRET * 6_000]
    events, before = [], []
    for number, body in enumerate(bodies):
        events.append(await owed(scene, lane, event=personal(f"e-{number}")))
        (claim,) = await scene.claim(lane)
        made = settlement(claim, Verdict.SUCCEEDED)
        await scene.ledger.jobs.settle([replace(made, log=replace(made.log, body=body))])
        before.append(await scene.log(claim.job_id, 1))

    for event in events:
        await scene.ledger.erasure.erase(event.ref, CHANGE)

    assert [each.body for each in before] == bodies
    after = [await scene.log(each.job_id, 1) for each in before]
    assert after == [replace(log, body="") for log in before]


@pytest.mark.parametrize("lane", ["i-1", "4ae281d1-634d-4d2a-bf64-7162c1e77cbf"])
async def test_a_log_whose_job_is_forgotten_is_erased_with_its_exchange(scene: LedgerScene, lane: str) -> None:
    event = await owed(scene, lane, "waits")
    (claim,) = await scene.claim(lane)
    await settle(scene, claim, Verdict.SUCCEEDED)
    await scene.retention_passes()
    assert await scene.ledger.jobs.get([claim.job_id]) == [], "the other job keeps the event"

    assert (await scene.ledger.logs.of_job(claim.job_id, 0, 10, "another")).items == []
    (log,) = (await scene.ledger.logs.of_job(claim.job_id, 0, 10, lane)).items
    assert log.body == ODD_ANSWER
    await scene.ledger.erasure.erase(event.ref, CHANGE)

    (log,) = (await scene.ledger.logs.of_job(claim.job_id, 0, 10, lane)).items
    assert log.body == ""
    assert not [row for row in (await scene.contents()).hashes.values() if SECRET in str(row)]
