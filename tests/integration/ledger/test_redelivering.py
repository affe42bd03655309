"""Choosing what to redeliver, batch by batch, and opening what was missed: the guards that nobody else reaches."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.audit import JOB_BYTES
from tests.ledger.scene import HOUR, LedgerScene
from tests.ledger.surgery import forget_event
from tests.samples import SCOPE, an_event
from worker.domain.event import Scope
from worker.domain.job import JobState, job_id
from worker.ledger import LedgerFull, Verdict
from worker.ledger.lanes import reopening as redelivery_module
from worker.ledger.lanes.reopening import RestoredEvent
from worker.ledger.pages import Cursor
from worker.ledger.policy import MAX_JOBS_PER_CALL

FAILED = (JobState.FAILED,)
ORDERS = ("order.paid",)
EVER = 2**50


async def ended(scene: LedgerScene, lane: str, verdict: Verdict, *events: str) -> list[str]:
    """Jobs that were tried once, and ended."""
    jobs = await scene.owe(lane, *events)
    while claims := await scene.claim(lane):
        for claim in claims:
            await scene.settle(claim, verdict)
    return jobs


async def chosen(scene: LedgerScene, lane: str, states: Sequence[JobState] = FAILED, mark: str = "") -> dict[str, str]:
    """All that may be redelivered, and what would come of each."""
    found: dict[str, str] = {}
    cursor: Cursor | None = Cursor(0)
    while cursor is not None:
        batch = await scene.ledger.redelivery.select(lane, cursor, EVER, states, mark)
        assert not set(batch.jobs) & set(found)
        found |= batch.jobs
        cursor = batch.next
    return found


async def missed(scene: LedgerScene, scope: Scope = SCOPE, types: Sequence[str] = ORDERS) -> list[str]:
    """All events that select() finds."""
    found: list[str] = []
    cursor: Cursor | None = Cursor(0)
    while cursor is not None:
        batch = await scene.ledger.events.select(scope, cursor, EVER, types)
        found += batch.refs
        cursor = batch.next
    return found


async def observed(scene: LedgerScene, *events: str, by: Sequence[str] = ()) -> list[str]:
    """Events that were observed, by some lanes or by nobody; answers their references."""
    stored = await scene.publish(*events)
    await scene.open(stored, *by)
    return [each.ref for each in stored]


def wanted(refs: Sequence[str], lane: str = "i-1") -> list[tuple[str, str]]:
    return [(job_id(ref, lane), ref) for ref in refs]


# Which jobs


async def test_jobs_are_chosen_by_their_state_with_what_would_come_of_each(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    failed = await ended(scene, "i-1", Verdict.FAILED, "e-1", "e-2")
    succeeded = await ended(scene, "i-1", Verdict.SUCCEEDED, "e-3")
    await ended(scene, "i-2", Verdict.FAILED, "e-4")
    (waits,) = await scene.owe("i-1", "e-5")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY, delay=HOUR)
    (flies,) = await scene.owe("i-1", "e-6")
    await scene.claim("i-1")

    assert await chosen(scene, "i-1") == dict.fromkeys(failed, "reopened")
    assert await chosen(scene, "i-1", (JobState.SUCCEEDED,)) == dict.fromkeys(succeeded, "reopened")
    assert await chosen(scene, "i-1", (JobState.PENDING,)) == {waits: "due", flies: "in_flight"}
    assert set(await chosen(scene, "i-1", tuple(JobState))) == {*failed, *succeeded, waits, flies}
    assert await chosen(scene, "no-such") == {}


async def test_what_select_says_is_what_redeliver_does(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await ended(scene, "i-1", Verdict.FAILED, "e-1")
    await scene.owe("i-1", "e-2", "e-3")
    await scene.claim("i-1", room=1)
    said = await chosen(scene, "i-1", tuple(JobState))
    assert sorted(said.values()) == ["due", "in_flight", "reopened"]
    assert await scene.ledger.redelivery.redeliver(list(said), "m") == list(said.values())


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 450])
async def test_batches_of_one_millisecond_leave_nothing_out_and_bring_nothing_twice(
    scene: LedgerScene, count: int
) -> None:
    await scene.register("i-1")
    jobs: list[str] = []
    for start in range(0, count, 50):
        jobs += await scene.owe("i-1", *(f"e-{n}" for n in range(start, min(count, start + 50))))
    for job in jobs:
        await scene.key("ZADD", "jobs:i-1", 1_000, job)
    assert set(await chosen(scene, "i-1", (JobState.PENDING,))) == set(jobs)
    first = await scene.ledger.redelivery.select("i-1", Cursor(0), EVER, FAILED, "")
    assert first.looked_at == min(count, MAX_JOBS_PER_CALL)
    assert (first.next is None) == (count < MAX_JOBS_PER_CALL)


async def test_both_ends_of_the_time_are_included(scene: LedgerScene) -> None:
    await scene.register("i-1")
    jobs = await ended(scene, "i-1", Verdict.FAILED, "e-1", "e-2", "e-3")
    for age, job in enumerate(jobs):
        await scene.key("ZADD", "jobs:i-1", 1_000 + age, job)
    for since, till, expected in (
        (1_000, 1_002, 3),
        (1_001, 1_001, 1),
        (1_002, EVER, 1),
        (0, 999, 0),
        (1_003, EVER, 0),
    ):
        found = await scene.ledger.redelivery.select("i-1", Cursor(since), till, FAILED, "")
        assert len(found.jobs) == expected
    behind = await scene.ledger.redelivery.select("i-1", Cursor(1_000, jobs[0]), EVER, FAILED, "")
    assert list(behind.jobs) == jobs[1:]
    until = await scene.ledger.redelivery.select("i-1", Cursor(1_000, jobs[0]), 1_001, FAILED, "")
    assert (list(until.jobs), until.next) == (jobs[1:2], None)


async def test_nothing_is_passed_over_where_the_index_shrinks_between_two_batches(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention takes entries out all the time; of one and the same millisecond, too."""
    await scene.register("i-1")
    jobs = sorted(await scene.owe("i-1", *(f"e-{n}" for n in range(12))))
    monkeypatch.setattr(redelivery_module, "MAX_JOBS_PER_CALL", 3)
    for job in jobs:
        await scene.key("ZADD", "jobs:i-1", 1_000, job)
    first = await scene.ledger.redelivery.select("i-1", Cursor(0), EVER, (JobState.PENDING,), "")
    assert (list(first.jobs), first.next) == (jobs[:3], Cursor(1_000, jobs[2]))
    await scene.key("ZREM", "jobs:i-1", *jobs[:2])
    second = await scene.ledger.redelivery.select("i-1", Cursor(1_000, jobs[2]), EVER, (JobState.PENDING,), "")
    assert list(second.jobs) == jobs[3:6]
    # The member itself has gone: what is left of its time is looked at again.
    await scene.key("ZREM", "jobs:i-1", jobs[5])
    third = await scene.ledger.redelivery.select("i-1", Cursor(1_000, jobs[5]), EVER, (JobState.PENDING,), "")
    assert list(third.jobs) == [jobs[2], *jobs[3:5]]
    for job in (*jobs[:2], jobs[5]):
        await scene.key("ZADD", "jobs:i-1", 1_000, job)


async def test_jobs_whose_event_is_gone_are_counted_and_those_of_another_state_are_not(scene: LedgerScene) -> None:
    await scene.register("i-1")
    first, second = await ended(scene, "i-1", Verdict.FAILED, "e-1", "e-2")
    (third,) = await ended(scene, "i-1", Verdict.SUCCEEDED, "e-3")
    for job in (first, third):
        ref = (await scene.job(job)).event_ref
        await scene.key("DEL", f"event:{ref}")
        await scene.key("DEL", f"event:{ref}:jobs")
    found = await scene.ledger.redelivery.select("i-1", Cursor(0), EVER, FAILED, "")
    assert (found.jobs, found.gone, found.looked_at) == ({second: "reopened"}, 1, 3)


async def test_an_entry_whose_job_is_gone_is_passed_over(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await ended(scene, "i-1", Verdict.FAILED, "e-1")
    await scene.key("ZADD", "jobs:i-1", 1, "no-such-job")
    assert await chosen(scene, "i-1") == {job: "reopened"}


# Marks


async def test_what_a_redelivery_had_is_neither_chosen_nor_reopened_by_it_again(scene: LedgerScene) -> None:
    await scene.register("i-1")
    first, second = await ended(scene, "i-1", Verdict.SUCCEEDED, "e-1", "e-2")
    done = (JobState.SUCCEEDED,)
    redeliver = scene.ledger.redelivery.redeliver
    assert await redeliver([first], "m-1") == ["reopened"]
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.SUCCEEDED)

    assert await chosen(scene, "i-1", done, "m-1") == {second: "reopened"}
    assert set(await chosen(scene, "i-1", done, "m-2")) == {first, second}
    assert set(await chosen(scene, "i-1", done)) == {first, second}
    assert await redeliver([first, second], "m-1") == ["known", "reopened"]
    assert await scene.counter("reopened") == 2


async def test_a_waiting_job_is_marked_too_and_one_in_flight_is_not(scene: LedgerScene) -> None:
    await scene.register("i-1")
    flies, waits = await scene.owe("i-1", "e-1", "e-2")
    (claim,) = await scene.claim("i-1", room=1)
    flies, waits = (flies, waits) if claim.job_id == flies else (waits, flies)
    redeliver = scene.ledger.redelivery.redeliver
    assert await redeliver([flies, waits], "m-1") == ["in_flight", "due"]
    assert await redeliver([flies, waits], "m-1") == ["in_flight", "known"]
    # What was under way and failed is this redelivery's to reopen still.
    await scene.settle(claim, Verdict.FAILED)
    assert await redeliver([flies], "m-1") == ["reopened"]


async def test_without_a_mark_every_call_redelivers_anew(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await ended(scene, "i-1", Verdict.FAILED, "e-1")
    assert await scene.ledger.redelivery.redeliver([job]) == ["reopened"]
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.FAILED)
    assert await scene.ledger.redelivery.redeliver([job]) == ["reopened"]


async def test_redeliveries_in_turn_each_reopen_a_job_once(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await ended(scene, "i-1", Verdict.FAILED, "e-1")
    redeliver = scene.ledger.redelivery.redeliver
    for mark, answer in (("A", "reopened"), ("B", "reopened"), ("A", "known"), ("", "reopened"), ("B", "known")):
        assert await redeliver([job], mark) == [answer]
        if answer == "reopened":
            (claim,) = await scene.claim("i-1")
            await scene.settle(claim, Verdict.FAILED)
    assert await chosen(scene, "i-1", FAILED, "A") == {}


async def test_the_marks_of_a_job_are_bounded_and_the_latest_are_kept(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await scene.owe("i-1", "e-1")
    for n in range(30):
        assert await scene.ledger.redelivery.redeliver([job], f"mark-{n}") == ["due"]
    marks = (await scene.key("HGET", f"job:{job}", "marks")).decode().split()
    assert marks == [f"mark-{n}" for n in range(29, 19, -1)]


async def test_a_mark_is_not_taken_for_one_that_contains_it(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await scene.owe("i-1", "e-1")
    assert await scene.ledger.redelivery.redeliver([job], "mark-10") == ["due"]
    assert await scene.ledger.redelivery.redeliver([job], "mark-1") == ["due"]


# Which events


async def test_events_of_the_types_are_chosen_of_the_scope_and_the_time(scene: LedgerScene) -> None:
    refs = await observed(scene, "e-1", "e-2", "e-3")
    other = an_event("other", type="order.created")
    foreign = an_event("foreign", Scope("org-1", "store-2"))
    await scene.ledger.inbox.accept([other, foreign])
    await scene.open((await scene.ledger.inbox.load([other.ref, foreign.ref])).events)

    assert set(await missed(scene)) == set(refs)
    assert await missed(scene, types=("order.created",)) == [other.ref]
    assert set(await missed(scene, types=("order.created", "order.paid"))) == {other.ref, *refs}
    assert await missed(scene, types=("order.fulfilled",)) == []
    assert await missed(scene, Scope("org-1", "store-2")) == [foreign.ref]
    assert await missed(scene, Scope("org-1")) == []
    for age, ref in enumerate(refs):
        await scene.key("ZADD", f"events:{SCOPE.key}", "XX", 1_000 + age, ref)
    found = await scene.ledger.events.select(SCOPE, Cursor(1_001), 1_001, ORDERS)
    assert (found.refs, found.next) == ([refs[1]], None)


async def test_what_waits_in_the_inbox_is_not_chosen_and_not_opened(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (stored,) = await scene.publish("waits")
    assert await missed(scene) == []
    assert await scene.ledger.redelivery.open_missing("i-1", wanted([stored.ref])) == (0, False)
    await scene.open([stored], "i-1")
    assert await missed(scene) == [stored.ref]
    assert await scene.ledger.redelivery.open_missing("i-1", wanted([stored.ref])) == (0, False)


@pytest.mark.parametrize("count", [199, 200, 401])
async def test_batches_of_events_of_one_millisecond_leave_nothing_out(scene: LedgerScene, count: int) -> None:
    refs: list[str] = []
    for start in range(0, count, 200):
        refs += await observed(scene, *(f"e-{n}" for n in range(start, min(count, start + 200))))
    for ref in refs:
        await scene.key("ZADD", f"events:{SCOPE.key}", "XX", 1_000, ref)
    found = await missed(scene)
    assert sorted(found) == sorted(refs)
    first = await scene.ledger.events.select(SCOPE, Cursor(0), EVER, ORDERS)
    assert first.looked_at == min(count, MAX_JOBS_PER_CALL)


async def test_an_event_that_retention_dropped_is_neither_chosen_nor_opened(scene: LedgerScene) -> None:
    await scene.register("i-1")
    first, second = await observed(scene, "e-1", "e-2")
    await scene.key("DEL", f"event:{first}")
    assert await missed(scene) == [second]
    assert await scene.ledger.redelivery.open_missing("i-1", wanted([first, second])) == (1, False)


# What was missed


async def test_a_missed_event_has_a_job_that_is_due_now_and_is_kept_until_that_ends(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (ref,) = await observed(scene, "e-1")

    assert await scene.ledger.redelivery.open_missing("i-1", wanted([ref])) == (1, False)

    await scene.retention_passes()
    (claim,) = await scene.claim("i-1")
    assert (claim.job_id, claim.attempt, claim.event_ref) == (job_id(ref, "i-1"), 1, ref)
    assert claim.event is not None
    await scene.settle(claim, Verdict.SUCCEEDED)
    assert await scene.counter("opened") == 1
    await scene.retention_passes()
    assert not await scene.is_kept(ref)


async def test_an_event_that_was_over_for_others_is_kept_again_with_all_its_jobs(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    (ref,) = await observed(scene, "e-1", by=("i-2",))
    (claim,) = await scene.claim("i-2")
    await scene.settle(claim, Verdict.SUCCEEDED)
    assert await scene.ledger.redelivery.open_missing("i-1", wanted([ref])) == (1, False)
    assert await scene.jobs_of(ref) == [claim.job_id, job_id(ref, "i-1")]
    await scene.retention_passes()
    assert await scene.jobs_of(ref) == [job_id(ref, "i-1")]
    # What retention took is not missed.
    assert await scene.ledger.redelivery.open_missing("i-2", [(claim.job_id, ref)]) == (0, False)


async def test_a_missed_event_is_opened_once_however_many_ask(scene: LedgerScene) -> None:
    await scene.register("i-1")
    refs = await observed(scene, *(f"e-{n}" for n in range(20)))
    answers = await asyncio.gather(*(scene.ledger.redelivery.open_missing("i-1", wanted(refs)) for _ in range(8)))
    assert sum(opened for opened, _ in answers) == 20
    assert await scene.ledger.redelivery.open_missing("i-1", wanted([refs[0], refs[0]])) == (0, False)


async def test_a_job_whose_record_is_gone_while_another_holds_its_event_is_known_still(scene: LedgerScene) -> None:
    """It was delivered long ago; the event is kept for a receiver that has been failing ever since."""
    await scene.register("i-1", "i-2")
    (ref,) = await observed(scene, "e-1", by=("i-1", "i-2"))
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.SUCCEEDED)
    parked = raw.key(scene.ledger, "parked")
    await scene.key("RENAME", f"job:{claim.job_id}", parked)

    assert await scene.ledger.redelivery.open_missing("i-1", wanted([ref])) == (0, False)
    assert await scene.ledger.redelivery.open_missing("i-1", wanted([ref]), dry_run=True) == (0, False)
    assert await scene.claim("i-1") == []

    await raw.client(scene.ledger).rename(parked, raw.key(scene.ledger, f"job:{claim.job_id}"))


async def test_a_backlog_takes_what_it_has_room_for_and_says_that_it_is_full(scene: LedgerScene) -> None:
    await scene.register("i-1")
    small = await scene.another(lane_backlog=5)
    await scene.owe("i-1", "old-1", "old-2")
    refs = await observed(scene, *(f"e-{n}" for n in range(4)))

    assert await small.redelivery.open_missing("i-1", wanted(refs), dry_run=True) == (4, False)
    assert await small.redelivery.open_missing("i-1", wanted(refs)) == (3, True)
    assert await small.redelivery.open_missing("i-1", wanted(refs)) == (0, True)
    assert await small.redelivery.open_missing("i-1", wanted(refs), dry_run=True) == (1, False)
    # What is there already needs no space.
    assert await small.redelivery.open_missing("i-1", wanted(refs[:3])) == (0, False)
    for claim in await scene.claim("i-1", room=1):
        await scene.settle(claim, Verdict.SUCCEEDED)
    assert await small.redelivery.open_missing("i-1", wanted(refs)) == (1, False)
    assert await scene.counter("cancelled") == 0


@pytest.mark.parametrize(("jobs", "events"), [(3, 0), (3, 99), (99, 3)], ids=["jobs", "jobs first", "bytes first"])
async def test_what_has_ended_is_reopened_only_where_the_backlog_has_room_and_nothing_goes_for_it(
    scene: LedgerScene, jobs: int, events: int
) -> None:
    # The records are a little larger than the events.
    size = events * (JOB_BYTES + len(an_event("e-1").raw)) + JOB_BYTES // 2 if events else 0
    small = await scene.another(lane_backlog=jobs, lane_backlog_bytes=size)
    await scene.register("i-1", "i-2")
    failed = await ended(scene, "i-1", Verdict.FAILED, "e-1", "e-2", "e-3")
    (elsewhere,) = await ended(scene, "i-2", Verdict.FAILED, "e-4")
    first, second = await scene.owe("i-1", "e-5", "e-6")

    # The other lane has a backlog of its own, and what waits takes no more.
    answers = await small.redelivery.redeliver([*failed, elsewhere, first], "m")
    assert answers == ["reopened", "full", "full", "reopened", "due"]
    assert {(await scene.state(job))[0] for job in (first, second)} == {JobState.PENDING}
    assert await scene.state(failed[1]) == (JobState.FAILED, "exhausted")
    assert await scene.counter("cancelled") == 0
    # Some of it is delivered, and the backlog is not full any more.
    for claim in await scene.claim("i-1", room=2):
        await scene.settle(claim, Verdict.SUCCEEDED)
    assert await small.redelivery.redeliver(failed[1:], "m") == ["reopened", "reopened"]
    assert await small.redelivery.redeliver(failed, "m") == ["known"] * 3


async def test_an_empty_backlog_takes_an_event_that_is_larger_than_the_whole(scene: LedgerScene) -> None:
    """Or a caller who repeats a redelivery until it is complete would do so for ever."""
    small = await scene.another(lane_backlog_bytes=10)
    await scene.register("i-1")
    failed = await ended(scene, "i-1", Verdict.FAILED, "e-1", "e-2")
    refs = await observed(scene, "m-1")
    assert await small.redelivery.redeliver(failed) == ["reopened", "full"]
    assert await small.redelivery.open_missing("i-1", wanted(refs)) == (0, True)
    for claim in await scene.claim("i-1"):
        await scene.settle(claim, Verdict.SUCCEEDED)
    assert await small.redelivery.open_missing("i-1", wanted(refs)) == (1, False)


async def test_a_dry_run_opens_nothing(scene: LedgerScene) -> None:
    await scene.register("i-1")
    refs = await observed(scene, "e-1", "e-2")
    before = await scene.contents()
    assert await scene.ledger.redelivery.open_missing("i-1", wanted(refs), dry_run=True) == (2, False)
    after = await scene.contents()
    assert (after.hashes, after.scores, after.lists) == (before.hashes, before.scores, before.lists)


async def test_a_disabled_lane_is_owed_what_was_missed_and_a_deleted_one_is_not(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    refs = await observed(scene, "e-1")
    await scene.disable("i-1")
    await scene.ledger.integrations.delete("i-2")
    assert await scene.ledger.redelivery.open_missing("i-1", wanted(refs)) == (1, False)
    assert await scene.claim("i-1") == []
    assert await scene.ledger.redelivery.open_missing("i-2", wanted(refs, "i-2")) == (0, False)
    assert await scene.ledger.redelivery.open_missing("no-such", wanted(refs, "no-such")) == (0, False)
    await scene.ledger.fleet.expire()
    assert await scene.ledger.redelivery.open_missing("i-2", wanted(refs, "i-2")) == (0, False)


async def test_no_call_touches_more_than_it_may(scene: LedgerScene) -> None:
    too_many = [("j", "r")] * (MAX_JOBS_PER_CALL + 1)
    with pytest.raises(ValueError, match=f"at most {MAX_JOBS_PER_CALL}"):
        await scene.ledger.redelivery.open_missing("i-1", too_many)
    with pytest.raises(ValueError, match=f"at most {MAX_JOBS_PER_CALL}"):
        await scene.ledger.redelivery.redeliver(["j"] * (MAX_JOBS_PER_CALL + 1))


async def test_at_the_memory_limit_nothing_is_owed_anew_and_everything_can_be_looked_at(
    make_redis: type[RedisServer], scene: LedgerScene
) -> None:
    server = make_redis()
    full = await scene.another(server.url)
    played = LedgerScene(full, scene.another)
    await played.register("i-1")
    (job,) = await ended(played, "i-1", Verdict.FAILED, "e-1")
    refs = await observed(played, "e-2")
    await raw.client(full).config_set("maxmemory", "1")
    with pytest.raises(LedgerFull):
        await full.redelivery.redeliver([job])
    with pytest.raises(LedgerFull):
        await full.redelivery.open_missing("i-1", wanted(refs))
    assert set(await chosen(played, "i-1")) == {job}
    assert len(await missed(played)) == 2
    assert await full.events.show(refs[0], 0, 10) is not None
    assert len((await full.jobs.of_integration("i-1", 0, 10)).items) == 1
    await raw.client(full).config_set("maxmemory", "0")
    assert (await played.contents()).problems() == []


async def test_a_restored_event_has_the_jobs_that_are_named(scene: LedgerScene) -> None:
    lanes = ("i-1", "i-2")
    await scene.register(*lanes)
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], *lanes)
    for claim in await scene.claim(*lanes):
        await scene.settle(claim, Verdict.SUCCEEDED)
    record = await scene.key("GET", f"event:{stored.ref}")
    await scene.retention_passes()
    # The history may have other jobs than the record names, or none.
    named = [[job_id(stored.ref, lane) for lane in each] for each in (("i-2", "i-1"), ("i-2",), ())]
    for jobs in named:
        await scene.ledger.redelivery.restore([RestoredEvent(stored.ref, record, jobs)], [])
        assert await scene.ledger.outbox.jobs_of(stored.ref) == jobs
        await forget_event(scene.ledger, stored.ref)
