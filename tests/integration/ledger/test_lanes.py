"""Lanes: in which order, how many at once, and when."""

from tests.ledger import raw, surgery
from tests.ledger.audit import JOB_BYTES
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import an_event, an_integration
from worker.domain.job import JobState
from worker.ledger import Verdict
from worker.ledger.policy import MAX_JOBS_PER_CALL


async def lane_status(scene: LedgerScene, lane: str) -> tuple[int, int, bool]:
    (found,) = [each for each in (await scene.ledger.status.read()).lanes if each.integration_id == lane]
    return found.due, found.leased, found.held


async def test_the_oldest_due_job_goes_first(scene: LedgerScene) -> None:
    await scene.register("i-1")
    jobs = await scene.owe("i-1", "e-1", "e-2", "e-3")
    for age, job in enumerate(jobs):
        await scene.key("ZADD", "lane:i-1:due", age + 1, job)
    assert [claim.job_id for claim in await scene.claim("i-1", room=2)] == jobs[:2]


async def test_nothing_is_claimed_before_it_is_due(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY, delay=HOUR)
    assert not (await scene.ledger.jobs.claim(["i-1"], 10)).claims
    job = await scene.job(claim.job_id)
    assert job.due_at is not None
    assert abs(job.due_at - job.opened_at - HOUR * 1000) < 60_000


async def test_a_due_entry_whose_job_is_over_is_dropped_and_not_carried_out(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.SUCCEEDED)
    await scene.key("ZADD", "lane:i-1:due", 1, claim.job_id, 1, "no-such-job")
    size = int((await scene.contents()).jobs[claim.job_id]["size"]) + 2 * JOB_BYTES
    await scene.key("HINCRBY", "lane:i-1", "bytes", size)
    await scene.key("INCRBY", "backlog-bytes", size)
    assert await scene.claim("i-1") == []


async def test_a_lanes_cap_holds_across_all_processes(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.register("i-1")
    await scene.owe("i-1", *(f"e-{n}" for n in range(15)))

    claimed = await scene.ledger.jobs.claim(["i-1"], 7)
    first, more = claimed.claims, claimed.more
    assert (len(first), more) == (7, ["i-1"])
    claimed = await other.jobs.claim(["i-1"], 100)
    second, more = claimed.claims, claimed.more
    assert (len(second), more) == (3, [])
    assert await scene.claim("i-1") == []

    await scene.settle(first[0], Verdict.SUCCEEDED)
    assert len(await scene.claim("i-1", by=other)) == 1


async def test_a_lane_that_is_named_twice_has_its_cap_once(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", *(f"e-{n}" for n in range(30)))
    assert len(await scene.claim("i-1", "i-1", "i-1")) == 10


async def test_a_claim_takes_no_more_than_the_process_has_room_for(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2", "i-3")
    for lane in ("i-1", "i-2", "i-3"):
        await scene.owe(lane, *(f"{lane} {n}" for n in range(3)))
    claimed = await scene.ledger.jobs.claim(["i-1", "i-2", "i-3"], 5)
    claims, more = claimed.claims, claimed.more
    assert [claim.integration_id for claim in claims] == ["i-1", "i-1", "i-1", "i-2", "i-2"]
    assert more == ["i-2", "i-3"]


async def test_a_job_is_leased_to_one_process_only(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.register("i-1")
    jobs = await scene.owe("i-1", "e-1", "e-2")
    mine = await scene.claim("i-1", room=1)
    theirs = await scene.claim("i-1", by=other)
    assert {claim.job_id for claim in mine} | {claim.job_id for claim in theirs} == set(jobs)
    assert (len(mine), len(theirs)) == (1, 1)


async def test_a_disabled_lane_is_held_and_drains_once_enabled(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2")
    owed = (await scene.contents()).pending

    await scene.ledger.integrations.put(an_integration(enabled=False))
    assert not (await scene.ledger.jobs.claim(["i-1"], 10)).claims
    assert await lane_status(scene, "i-1") == (2, 0, True)
    await scene.key("ZADD", "lanes", "XX", 1, "i-1")
    assert (await scene.ledger.fleet.sweep()).lanes == []
    assert (await scene.contents()).pending == owed

    await scene.ledger.integrations.put(an_integration(enabled=True))
    assert await lane_status(scene, "i-1") == (2, 0, False)
    assert [each.id for each in (await scene.ledger.fleet.sweep()).lanes] == ["i-1"]
    assert {claim.job_id for claim in await scene.claim("i-1")} == owed


async def test_what_is_in_flight_when_its_lane_is_held_waits_there_for_its_next_attempt(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.disable("i-1")
    settled = await scene.ledger.jobs.settle([settlement(claim, Verdict.RETRY)])
    assert (settled.results, settled.more) == (["settled"], [])
    assert await lane_status(scene, "i-1") == (1, 0, True)
    assert await scene.claim("i-1") == []


async def test_a_lane_rests_as_long_as_its_receiver_asked_for(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2")
    (claim,) = await scene.claim("i-1", room=1)
    owed = (await scene.contents()).pending
    settled = await scene.ledger.jobs.settle([settlement(claim, Verdict.RETRY, delay=2 * HOUR, rest=HOUR)])
    assert (settled.results, settled.more) == (["settled"], [])

    assert not (await scene.ledger.jobs.claim(["i-1"], 10)).claims
    found = await scene.ledger.fleet.sweep()
    assert found.lanes == []
    assert abs(found.wait - HOUR * 1000) < 60_000
    assert (await scene.contents()).pending == owed


async def test_a_rest_brings_no_lane_back_that_is_gone(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.key("DEL", "lane:i-1")
    await scene.settle(claim, Verdict.RETRY, rest=HOUR)
    assert "lane:i-1" not in (await scene.contents()).hashes


async def test_a_shorter_rest_does_not_end_a_longer_one(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2")
    first, second = await scene.claim("i-1")
    await scene.settle(first, Verdict.RETRY, rest=2 * HOUR)
    await scene.settle(second, Verdict.RETRY, rest=HOUR)
    until = int(await scene.key("HGET", "lane:i-1", "rest_until"))
    assert abs(until - await raw.now(scene.ledger) - 2 * HOUR * 1000) < 60_000


async def test_a_changed_configuration_ends_a_rest(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY, rest=HOUR)
    await scene.ledger.integrations.put(an_integration(name="mended"))
    (claim,) = await scene.claim("i-1")
    assert (claim.attempt, claim.revision) == (2, 2)


async def test_a_sweep_announces_each_lane_that_is_due_once(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.register("i-1", "i-2", "nothing due")
    await scene.owe("i-1", "e-1")
    await scene.owe("i-2", "e-2")
    found = await scene.ledger.fleet.sweep()
    assert {(each.id, each.tries) for each in found.lanes} == {("i-1", 1), ("i-2", 1)}
    assert 0 < found.wait <= scene.ledger.policy.announce
    assert (await other.fleet.sweep()).lanes == []


async def test_a_lane_that_was_announced_in_vain_is_announced_again_ever_less_often(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    pauses = []
    for tries in range(1, 6):
        await scene.key("HDEL", "lane:i-1", "announced_until")
        await scene.key("ZADD", "lanes", 1, "i-1")
        assert [(each.id, each.tries) for each in (await scene.ledger.fleet.sweep()).lanes] == [("i-1", tries)]
        pauses.append(round((await scene.key_score("lanes", "i-1") - await raw.now(scene.ledger)) / 1000))
    assert pauses == [2, 4, 8, 8, 8]

    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY)
    assert [(each.id, each.tries) for each in (await scene.ledger.fleet.sweep()).lanes] == [("i-1", 1)]


async def test_events_are_announced_like_lanes_once_their_grace_is_over(scene: LedgerScene) -> None:
    stored = an_event()
    await scene.ledger.inbox.accept([stored])
    # Its producer's own wake-up comes first.
    found = await scene.ledger.fleet.sweep()
    assert found.events == []
    assert 0 < found.wait <= scene.ledger.policy.announce
    for tries in (1, 2, 3):
        await scene.key("ZADD", "inbox", 1, stored.ref)
        assert [(each.id, each.tries) for each in (await scene.ledger.fleet.sweep()).events] == [(stored.ref, tries)]
        assert (await scene.ledger.fleet.sweep()).events == []


async def test_a_sweep_says_when_the_next_thing_is_due_event_or_lane(scene: LedgerScene) -> None:
    patient = await scene.another(announce=100_000)
    await patient.inbox.accept([an_event("e-1")])
    assert 10_000 < (await scene.ledger.fleet.sweep()).wait <= 100_000
    await scene.register("i-1")
    await scene.owe("i-1", "e-2")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY, delay=10)
    # A process that settled knows the time; the sweep leaves it 200 ms.
    assert (await scene.ledger.fleet.sweep()).wait <= 10_200


async def test_announcing_an_event_that_is_gone_brings_nothing_back(scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    await surgery.forget_event(scene.ledger, stored.ref)
    await scene.key("ZADD", "inbox", 1, stored.ref)
    assert [each.id for each in (await scene.ledger.fleet.sweep()).events] == [stored.ref]
    found = await scene.contents()
    assert [name for name in [*found.strings, *found.hashes] if name.startswith("event:")] == []


async def test_announcing_a_lane_that_is_gone_brings_nothing_back(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    await scene.key("DEL", "lane:i-1")
    assert (await scene.ledger.fleet.sweep()).lanes == []
    assert "lane:i-1" not in (await scene.contents()).hashes


async def test_a_sweep_of_an_empty_ledger_finds_nothing_and_waits_for_nothing(scene: LedgerScene) -> None:
    found = await scene.ledger.fleet.sweep()
    assert (found.events, found.lanes, found.wait) == ([], [], -1)


async def test_a_sweep_announces_the_lanes_that_have_waited_longest_and_not_more_than_a_call_may_touch(
    scene: LedgerScene,
) -> None:
    lanes = [f"i-{n}" for n in range(MAX_JOBS_PER_CALL + 5)]
    await scene.register(*lanes)
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], *lanes[5:], last=False)
    await scene.open([stored], *lanes[:5])
    for age, lane in enumerate(lanes):
        await scene.key("ZADD", "lanes", age + 1, lane)
    announced: list[str] = []
    while found := (await scene.ledger.fleet.sweep()).lanes:
        assert 5 < len(found) <= MAX_JOBS_PER_CALL or len(announced) + len(found) == len(lanes)
        announced += [each.id for each in found]
    assert announced == lanes


async def test_a_lane_at_its_cap_is_looked_at_again_even_if_no_settlement_says_so(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", *(f"e-{n}" for n in range(11)))
    await scene.claim("i-1")
    pause = await scene.key_score("lanes", "i-1") - await raw.now(scene.ledger)
    assert 3_000 < pause <= 5_000


async def test_the_settlement_that_makes_room_says_which_lanes_have_more(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    await scene.owe("i-1", *(f"e-{n}" for n in range(11)))
    await scene.owe("i-2", "e")
    first, *_ = await scene.claim("i-1")
    (other,) = await scene.claim("i-2")
    settled = await scene.ledger.jobs.settle(
        [settlement(first, Verdict.SUCCEEDED), settlement(other, Verdict.SUCCEEDED)]
    )
    assert (settled.results, settled.more) == (["settled", "settled"], ["i-1"])


async def test_a_lane_that_overflows_gives_up_its_oldest_job(scene: LedgerScene) -> None:
    small = await scene.another(lane_backlog=2)
    await scene.register("i-1")
    first, second = await scene.owe("i-1", "e-1", "e-2")
    await scene.key("ZADD", "lane:i-1:due", 1, first)
    await scene.open(await scene.publish("e-3"), "i-1", by=small)

    assert await scene.state(first) == (JobState.CANCELLED, "lane_overflow")
    assert (await scene.state(second))[0] is JobState.PENDING
    status = await scene.ledger.status.read()
    assert (status.counter("cancelled"), status.pending, status.jobs_balance) == (1, 2, 0)


async def test_a_lane_full_of_later_retries_gives_up_an_old_job_and_not_the_newest(scene: LedgerScene) -> None:
    """A receiver that is down has most of its jobs due later; what just happened is worth more than they are."""
    small = await scene.another(lane_backlog=2)
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2")
    for claim in await scene.claim("i-1"):
        await scene.settle(claim, Verdict.RETRY, delay=HOUR)
    stored = await scene.publish("new")
    claims, waiting = await scene.open(stored, "i-1", by=small)
    (new,) = await scene.jobs_of(stored[0].ref)

    assert (await scene.state(new))[0] is JobState.PENDING
    assert await scene.counter("cancelled") == 1
    assert (claims, waiting) == ([], ["i-1"])


async def test_what_is_in_flight_does_not_overflow(scene: LedgerScene) -> None:
    small = await scene.another(lane_backlog=1)
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.open(await scene.publish("e-2"), "i-1", by=small)
    await scene.open(await scene.publish("e-3"), "i-1", by=small)
    assert (await scene.state(claim.job_id))[0] is JobState.PENDING
    assert await scene.counter("cancelled") == 1
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"


async def test_a_million_due_jobs_of_one_lane_delay_no_other(scene: LedgerScene) -> None:
    """The sweep goes round the lanes: a busy one takes its turn, a quota each."""
    await scene.register("busy", "quiet")
    await scene.owe("busy", *(f"e-{n}" for n in range(40)))
    await scene.owe("quiet", "e")
    found = await scene.ledger.fleet.sweep()
    claims = await scene.claim(*(each.id for each in found.lanes))
    assert "quiet" in {claim.integration_id for claim in claims}
    assert len(claims) == 11
