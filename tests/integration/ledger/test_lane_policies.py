"""What people ask of an integration's lane: a rate, a pause, a limit of what waits, and a new beginning."""

import pytest

from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import an_event, an_integration
from worker.domain.job import JobState, job_id
from worker.ledger import Verdict
from worker.ledger.lanes.claims import FilledLane, Opening
from worker.ledger.policy import MAX_JOBS_PER_CALL

LANE = "i-1"
#: A bucket holds a tenth of a second's worth (BUCKET in lane_policy.lua).
TEN_AT_ONCE = 100.0


async def bucket_full(scene: LedgerScene) -> None:
    """Time has passed, and the rate's bucket is full again."""
    await scene.key("HSET", f"lane:{LANE}", "used_until", 1)


# --- rate_limit


async def test_a_rate_limit_lets_a_bucket_of_attempts_begin_and_the_rest_when_it_refills(scene: LedgerScene) -> None:
    scene.ledger = await scene.another(lane_cap=100)
    await scene.ledger.integrations.put(an_integration(rate_limit=TEN_AT_ONCE))
    await scene.owe(LANE, *(f"e-{n}" for n in range(25)))
    await bucket_full(scene)

    claimed = await scene.ledger.jobs.claim([LANE], 100)
    claims, more = claimed.claims, claimed.more
    assert (len(claims), more) == (10, [])
    await bucket_full(scene)
    assert len(await scene.claim(LANE)) == 10


async def test_a_used_up_rate_is_the_whole_fleets_and_a_sweep_says_when_it_refills(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.ledger.integrations.put(an_integration(rate_limit=0.01))
    await scene.owe(LANE, "e-1", "e-2")
    assert len(await scene.claim(LANE)) == 1
    assert not (await other.jobs.claim([LANE], 10)).claims

    found = await other.fleet.sweep()
    assert found.lanes == []
    # One attempt in a hundred seconds.
    assert 60_000 < found.wait <= 100_000


async def test_what_is_opened_takes_its_attempt_from_the_same_bucket(scene: LedgerScene) -> None:
    await scene.ledger.integrations.put(an_integration(rate_limit=0.01))
    stored = await scene.publish("e-1", "e-2", "e-3")
    claims, waiting = await scene.open(stored, LANE, room=10)
    assert (len(claims), waiting) == (1, [])
    assert await scene.claim(LANE) == []


async def test_a_lane_without_a_rate_limit_has_none(scene: LedgerScene) -> None:
    await scene.ledger.integrations.put(an_integration(rate_limit=0.01))
    await scene.ledger.integrations.put(an_integration(rate_limit=None))
    await scene.owe(LANE, *(f"e-{n}" for n in range(10)))
    assert len(await scene.claim(LANE)) == 10


async def test_a_change_fills_the_bucket_and_ends_the_wait_for_a_wake_up(scene: LedgerScene) -> None:
    await scene.ledger.integrations.put(an_integration(rate_limit=0.01))
    await scene.owe(LANE, "e-1", "e-2")
    await scene.claim(LANE)
    await scene.key("HSET", f"lane:{LANE}", "announced_until", 2 * await raw.now(scene.ledger))
    await scene.ledger.integrations.put(an_integration(rate_limit=0.02), renewed=False)
    assert [each.id for each in (await scene.ledger.fleet.sweep()).lanes] == [LANE]
    assert len(await scene.claim(LANE)) == 1


# --- paused


async def test_a_paused_integration_is_owed_what_it_observes_and_gets_it_later_the_oldest_first(
    scene: LedgerScene,
) -> None:
    await scene.ledger.integrations.put(an_integration(paused=True))
    jobs = [(await scene.owe(LANE, f"e-{n}"))[0] for n in range(3)]
    for age, job in enumerate(reversed(jobs)):
        await scene.key("ZADD", f"lane:{LANE}:due", age + 1, job)

    assert not (await scene.ledger.jobs.claim([LANE], 10)).claims
    claims, waiting = await scene.open(await scene.publish("e-9"), LANE, room=10)
    assert (claims, waiting) == ([], [])
    assert (await scene.ledger.fleet.sweep()).lanes == []
    assert (await scene.ledger.status.read()).lanes[0].hold == "paused"

    await scene.ledger.integrations.put(an_integration(paused=False), renewed=False)
    assert [claim.job_id for claim in await scene.claim(LANE)][:3] == jobs[::-1]


async def test_a_disabled_integration_gets_no_new_jobs_though_it_is_paused_too(scene: LedgerScene) -> None:
    await scene.ledger.integrations.put(an_integration(paused=True, enabled=False))
    await scene.open(await scene.publish("e-1"), LANE)
    assert (await scene.ledger.status.read()).pending == 0
    assert await scene.counter("unmatched") == 1


# --- a changed configuration


async def test_a_changed_configuration_makes_what_waits_due_now_at_the_lanes_quota(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, *(f"e-{n}" for n in range(30)))
    while claims := await scene.claim(LANE):
        for claim in claims:
            await scene.settle(claim, Verdict.RETRY, delay=HOUR)

    await scene.ledger.integrations.put(an_integration(configuration={"url": "https://shop.example/mended"}))
    claimed = await scene.ledger.jobs.claim([LANE], 100)
    claims, more = claimed.claims, claimed.more
    assert (len(claims), more) == (10, [])


async def test_a_change_that_says_nothing_of_the_receiver_hastens_nothing(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    (claim,) = await scene.claim(LANE)
    await scene.settle(claim, Verdict.RETRY, delay=HOUR)
    await scene.ledger.integrations.put(an_integration(name="another"), renewed=False)
    assert await scene.claim(LANE) == []


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.FAILED])
async def test_what_was_in_flight_with_the_old_configuration_and_fails_is_due_now(
    scene: LedgerScene, verdict: Verdict
) -> None:
    """Whether it was the last attempt of the old one's schedule, or not."""
    await scene.register(LANE)
    (job,) = await scene.owe(LANE, "e-1")
    (old,) = await scene.claim(LANE)
    await scene.ledger.integrations.put(an_integration(configuration={"url": "https://shop.example/mended"}))

    settled = await scene.ledger.jobs.settle([settlement(old, verdict, delay=HOUR, rest=HOUR)])
    assert (settled.results, settled.more) == (["renewed"], [LANE])
    (new,) = await scene.claim(LANE)
    assert (new.job_id, new.attempt) == (job, 2)
    # The new one has a schedule like any other.
    assert await scene.settle(new, Verdict.RETRY, delay=HOUR) == "settled"
    assert await scene.claim(LANE) == []


async def test_what_was_in_flight_while_something_else_changed_keeps_to_its_schedule(scene: LedgerScene) -> None:
    await scene.register(LANE)
    later, failed = await scene.owe(LANE, "e-1", "e-2")
    claims = {claim.job_id: claim for claim in await scene.claim(LANE)}
    await scene.ledger.integrations.put(an_integration(name="another"), renewed=False)
    assert await scene.settle(claims[later], Verdict.RETRY, delay=HOUR) == "settled"
    assert await scene.settle(claims[failed], Verdict.FAILED) == "settled"
    assert await scene.claim(LANE) == []
    assert await scene.state(failed) == (JobState.FAILED, "exhausted")


async def test_what_was_lost_keeps_to_its_schedule_whatever_has_changed(scene: LedgerScene) -> None:
    """It may be what kills workers."""
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    dead = await scene.another()
    await scene.claim(LANE, by=dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    await scene.ledger.integrations.put(an_integration())
    assert await scene.settle(seized, Verdict.RETRY, lost=True, delay=HOUR) == "settled"
    assert await scene.claim(LANE) == []


async def test_a_success_or_a_deadline_ends_what_was_in_flight_with_the_old_configuration(scene: LedgerScene) -> None:
    await scene.register(LANE)
    delivered, overdue = await scene.owe(LANE, "e-1", "e-2")
    claims = {claim.job_id: claim for claim in await scene.claim(LANE)}
    await scene.ledger.integrations.put(an_integration())
    await scene.overdue(overdue)
    assert await scene.settle(claims[delivered], Verdict.SUCCEEDED) == "settled"
    assert await scene.settle(claims[overdue], Verdict.RETRY) == "settled"
    assert await scene.state(delivered) == (JobState.SUCCEEDED, "")
    assert await scene.state(overdue) == (JobState.FAILED, "deadline")


async def test_more_than_a_call_may_touch_is_hastened_by_the_sweeps_that_follow(scene: LedgerScene) -> None:
    await scene.register(LANE)
    jobs: list[str] = []
    for start in range(0, 350, 50):
        jobs += await scene.owe(LANE, *(f"e-{n}" for n in range(start, start + 50)))
    later = await raw.now(scene.ledger) + 3_600_000
    for n, job in enumerate(jobs):
        await scene.key("ZADD", f"lane:{LANE}:due", later + n, job)
    # The new configuration has failed this one already: it keeps its time.
    await scene.key("HSET", f"job:{jobs[300]}", "tried", 1_000)

    await scene.ledger.integrations.put(an_integration())
    assert 0 < await due_now(scene) <= MAX_JOBS_PER_CALL
    while (await scene.ledger.fleet.sweep()).wait == 0:
        pass
    assert await due_now(scene) == len(jobs) - 1
    assert "hastening" not in (await scene.contents()).sets
    assert (await scene.contents()).scores[f"lane:{LANE}:due"][jobs[300]] == later + 300


async def test_what_became_due_meanwhile_is_hastened_no_more_and_keeps_its_turn(scene: LedgerScene) -> None:
    await scene.register(LANE)
    jobs: list[str] = []
    for start in range(0, 350, 50):
        jobs += await scene.owe(LANE, *(f"e-{n}" for n in range(start, start + 50)))
    later = await raw.now(scene.ledger) + 3_600_000
    for n, job in enumerate(jobs):
        await scene.key("ZADD", f"lane:{LANE}:due", later + n, job)
    await scene.ledger.integrations.put(an_integration(paused=True))

    # Nobody swept for so long that the time of all has come.
    past = await raw.now(scene.ledger) - 1_000
    for n, job in enumerate(jobs):
        await scene.key("ZADD", f"lane:{LANE}:due", past + n, job)
    await scene.key("HSET", f"lane:{LANE}", "hasten_from", past - 1)

    assert (await scene.ledger.fleet.sweep()).wait == -1
    assert await scene.key_score(f"lane:{LANE}:due", jobs[0]) == past
    assert "hastening" not in (await scene.contents()).sets


async def due_now(scene: LedgerScene) -> int:
    return int(await scene.key("ZCOUNT", f"lane:{LANE}:due", 0, await raw.now(scene.ledger)))


# --- backlogs


@pytest.mark.parametrize("by_bytes", [False, True], ids=["jobs", "bytes"])
async def test_a_backlog_that_fills_is_warned_of_at_50_and_90_per_cent_once_each(
    scene: LedgerScene, by_bytes: bool
) -> None:
    size = len(an_event("e-0").raw)
    small = await scene.another(**{"lane_backlog_bytes": 10 * size} if by_bytes else {"lane_backlog": 10})
    await scene.register(LANE)
    warned: list[FilledLane] = []
    for n in range(10):
        (stored,) = await scene.publish(f"e-{n}")
        opened = await small.jobs.open([(stored, [Opening(job_id(stored.ref, LANE), LANE)], True)], 0)
        warned += opened.filled
    assert warned == [FilledLane(LANE, 50, 5, 5 * size), FilledLane(LANE, 90, 9, 9 * size)]


async def test_a_backlog_is_warned_of_again_once_it_has_been_clearly_below_and_not_before(scene: LedgerScene) -> None:
    small = await scene.another(lane_backlog=10)
    await scene.register(LANE)

    async def opened(count: int) -> list[int]:
        """Opens jobs one by one; answers the marks that were warned of."""
        found: list[int] = []
        for _ in range(count):
            (stored,) = await scene.publish(f"e-{await scene.counter('accepted')}")
            job = Opening(job_id(stored.ref, LANE), LANE)
            found += [each.percent for each in (await small.jobs.open([(stored, [job], True)], 0)).filled]
        return found

    async def delivered(count: int) -> None:
        for claim in await scene.claim(LANE, room=count):
            await scene.settle(claim, Verdict.SUCCEEDED)

    assert await opened(6) == [50]
    await delivered(2)
    assert await opened(2) == [], "it went up and down around the mark"
    await delivered(6)
    assert await opened(6) == [50]
    assert await opened(4) == [90]


async def test_a_lane_that_overflows_gives_up_what_has_waited_and_not_what_waits_for_a_later_attempt(
    scene: LedgerScene,
) -> None:
    small = await scene.another(lane_backlog=2)
    await scene.register(LANE)
    waited, later = await scene.owe(LANE, "e-1", "e-2")
    await scene.key("ZADD", f"lane:{LANE}:due", 1, waited, await raw.now(scene.ledger) + 3_600_000, later)
    await scene.open(await scene.publish("e-3"), LANE, by=small)
    assert await scene.state(waited) == (JobState.CANCELLED, "lane_overflow")
    assert (await scene.state(later))[0] is JobState.PENDING


async def test_a_lane_whose_events_are_too_many_bytes_gives_up_the_oldest_until_they_fit(scene: LedgerScene) -> None:
    size = len(an_event("e-00").raw)
    small = await scene.another(lane_backlog_bytes=5 * size)
    await scene.register(LANE)
    jobs: list[str] = []
    for n in range(9):
        jobs += await scene.owe(LANE, f"e-{n:02}")
        await scene.key("ZADD", f"lane:{LANE}:due", n + 1, jobs[-1])
    assert "overflowing" not in (await scene.contents()).sets
    (stored,) = await scene.publish("e-99")
    await small.jobs.open([(stored, [Opening(job_id(stored.ref, LANE), LANE)], True)], 0)

    assert await small.fleet.expire() == 5
    assert await small.fleet.expire() == 0
    assert [await scene.state(job) for job in jobs[:5]] == [(JobState.CANCELLED, "lane_overflow")] * 5
    assert {(await scene.state(job))[0] for job in jobs[5:]} == {JobState.PENDING}
    assert "overflowing" not in (await scene.contents()).sets


async def test_what_one_call_leaves_of_too_many_jobs_goes_with_the_sweeps(scene: LedgerScene) -> None:
    small = await scene.another(lane_backlog=5)
    await scene.register(LANE)
    for start in range(0, 100, 50):
        await scene.owe(LANE, *(f"e-{n}" for n in range(start, start + 50)))
    await scene.open(await scene.publish("e-100"), LANE, by=small)
    assert (await scene.ledger.status.read()).pending > 5
    assert [await small.fleet.expire() for _ in range(3)] == [50, 45, 0]
    assert (await scene.ledger.status.read()).pending == 5


async def test_a_call_ends_no_more_of_overfull_backlogs_than_it_opens(scene: LedgerScene) -> None:
    small = await scene.another(lane_backlog=1)
    lanes = [f"i-{n}" for n in range(20)]
    await scene.register(*lanes)
    await scene.open(await scene.publish(*(f"e-{n}" for n in range(MAX_JOBS_PER_CALL // len(lanes)))), *lanes)

    await scene.open(await scene.publish("one more"), *lanes, by=small)
    assert await scene.counter("cancelled") == len(lanes)
    # The rest of them goes by and by.
    while await small.fleet.expire():
        pass
    assert (await scene.ledger.status.read()).pending == len(lanes)


async def test_a_backlogs_bytes_follow_every_way_that_a_job_can_go(scene: LedgerScene) -> None:
    await scene.register(LANE)
    jobs = await scene.owe(LANE, *(f"e-{n}" for n in range(6)))
    retried, released, succeeded, expired, _, _ = claims = await scene.claim(LANE)
    assert await owed_bytes(scene) == 0
    await scene.settle(retried, Verdict.RETRY, delay=HOUR)
    await scene.ledger.jobs.release([released])
    await scene.settle(succeeded, Verdict.SUCCEEDED)
    await scene.settle(expired, Verdict.RETRY, delay=HOUR)
    await scene.overdue(expired.job_id)
    await scene.ledger.fleet.expire()
    await scene.ledger.redelivery.redeliver([succeeded.job_id, retried.job_id])
    assert len(claims) == len(jobs)
    # retried, released and the reopened one; the audit of every scenario adds them up.
    assert await owed_bytes(scene) == 3 * len(an_event("e-0").raw)


async def owed_bytes(scene: LedgerScene) -> int:
    return int((await scene.contents()).hashes[f"lane:{LANE}"].get("bytes", 0))
