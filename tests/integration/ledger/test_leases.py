"""Leases: who has a job, until when, and what comes of those whose owner died."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, replies_lost
from worker.domain.claim import Claim
from worker.domain.job import JobState
from worker.ledger import Ledger, LedgerUnavailable, Verdict
from worker.ledger.lease import NO_TERM
from worker.ledger.policy import JOBS_PER_CALL
from worker.ledger.process_identity import NO_HOME, ProcessIdentity


@pytest.fixture
async def dead(scene: LedgerScene) -> Ledger:
    """The process that will be taken for dead."""
    found: Ledger = await scene.another()
    return found


async def claimed(scene: LedgerScene, by: Ledger) -> Claim:
    """The one job there is, in flight with a process."""
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1", by=by)
    return claim


async def test_a_process_is_known_from_its_first_heartbeat(scene: LedgerScene) -> None:
    assert not await scene.ledger.fleet.renew()
    assert await scene.ledger.fleet.renew()
    assert (await scene.ledger.status.read()).processes == 1
    lease_end = await scene.key_score("owners", scene.ledger.owner)
    assert abs(lease_end - await raw.now(scene.ledger) - scene.ledger.policy.lease) < 5_000


async def test_a_process_that_claims_before_its_first_heartbeat_is_known_as_well(scene: LedgerScene) -> None:
    await claimed(scene, scene.ledger)
    assert await scene.ledger.fleet.renew()


async def test_a_heartbeat_with_a_shorter_lease_does_not_shorten_one(scene: LedgerScene) -> None:
    await scene.ledger.fleet.renew()
    await scene.key("ZADD", "owners", "XX", 2**50, scene.ledger.owner)
    await scene.ledger.fleet.renew()
    assert await scene.key_score("owners", scene.ledger.owner) == 2**50


async def test_the_leases_of_the_living_are_left_alone(scene: LedgerScene, dead: Ledger) -> None:
    claim = await claimed(scene, dead)
    await scene.die()
    assert await scene.ledger.fleet.seize() == []
    assert await scene.settle(claim, Verdict.SUCCEEDED, by=dead) == "settled"


async def test_the_attempt_of_a_dead_process_passes_to_another_which_settles_it_as_lost(
    scene: LedgerScene, dead: Ledger
) -> None:
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    assert seized == claim
    assert [job.encode() for job in await scene.ledger.fleet.leases()] == [claim.job_id.encode()]
    assert (await scene.ledger.status.read()).processes == 1

    assert await scene.settle(seized, Verdict.RETRY, lost=True, detail="lost with its worker") == "settled"
    assert (await scene.log(claim.job_id, 1)).error_detail == "lost with its worker"
    (again,) = await scene.claim("i-1")
    assert (again.attempt, again.lost) == (2, 1)
    assert await scene.counter("lost") == 1


async def test_what_is_seized_has_the_revision_that_its_integration_has_now(scene: LedgerScene, dead: Ledger) -> None:
    await claimed(scene, dead)
    await scene.disable("i-1")
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    assert seized.revision == 2


async def test_only_one_process_gets_what_the_dead_one_left(scene: LedgerScene, dead: Ledger) -> None:
    third = await scene.another()
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2", "e-3")
    await scene.claim("i-1", by=dead)
    await scene.die(dead)
    assert len(await scene.ledger.fleet.seize()) == 3
    assert await third.fleet.seize() == []


async def test_a_process_that_died_while_it_reaped_is_reaped(scene: LedgerScene, dead: Ledger) -> None:
    reaper = await scene.another()
    claim = await claimed(scene, dead)
    await scene.die(dead)
    await reaper.fleet.seize()
    await scene.die(reaper)
    assert await scene.ledger.fleet.seize() == [claim]


async def test_a_dead_processs_many_leases_are_taken_a_call_full_at_a_time(scene: LedgerScene, dead: Ledger) -> None:
    await claim_many(scene, dead)
    await scene.die(dead)
    counts = []
    for _ in range(150 // JOBS_PER_CALL + 1):
        counts.append(len(await scene.ledger.fleet.seize()))
        await scene.die()
    assert sum(counts) == 150
    assert counts[0] == JOBS_PER_CALL
    assert max(counts) == JOBS_PER_CALL


async def test_a_process_does_not_seize_from_itself_because_its_own_heartbeat_was_late(scene: LedgerScene) -> None:
    claim = await claimed(scene, scene.ledger)
    await scene.die(scene.ledger)
    assert await scene.ledger.fleet.seize() == []
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"


async def test_after_the_redis_servers_absence_every_lease_goes_on_for_half_its_length_once(
    scene: LedgerScene, dead: Ledger
) -> None:
    claim = await claimed(scene, dead)
    await scene.die(dead)
    now = await raw.now(scene.ledger)
    await scene.key("SET", "swept", now - scene.ledger.policy.lease)

    assert await scene.ledger.fleet.seize() == []
    lease_end = await scene.key_score("owners", dead.owner)
    assert (
        now + scene.ledger.policy.lease / 2 <= lease_end <= await raw.now(scene.ledger) + scene.ledger.policy.lease / 2
    )
    # Once: a process that is still silent after that is dead.
    await scene.key("ZADD", "owners", "XX", 1, dead.owner)
    assert await scene.ledger.fleet.seize() == [claim]


async def test_an_absence_of_redis_shortens_no_lease(scene: LedgerScene, dead: Ledger) -> None:
    await claimed(scene, dead)
    await scene.key("ZADD", "owners", "XX", 2**50, dead.owner)
    await scene.key("SET", "swept", 1)
    await scene.ledger.fleet.seize()
    assert await scene.key_score("owners", dead.owner) == 2**50


async def test_a_process_that_is_known_to_have_died_loses_its_leases_at_once(scene: LedgerScene, dead: Ledger) -> None:
    await dead.fleet.renew()
    claim = await claimed(scene, dead)
    assert await scene.ledger.fleet.seize(dead=[dead.owner]) == [claim]
    assert (await scene.ledger.status.read()).processes == 1
    assert dead.owner not in await neighbours(scene, dead)


async def test_a_death_is_believed_after_an_absence_of_redis_too(scene: LedgerScene, dead: Ledger) -> None:
    """The only worker of a fleet was killed: nobody swept until it was started again."""
    third = await scene.another()
    await third.fleet.renew()
    await dead.fleet.renew()
    claim = await claimed(scene, dead)
    await scene.key("SET", "swept", 1)
    assert await scene.ledger.fleet.seize(dead=[dead.owner]) == [claim]
    assert await scene.key_score("owners", third.owner) > await raw.now(scene.ledger)


async def test_many_leases_of_a_process_that_has_died_are_taken_although_redis_was_away(
    scene: LedgerScene, dead: Ledger
) -> None:
    """Half of them are left by the first call, which must not extend them."""
    await dead.fleet.renew()
    await claim_many(scene, dead)
    await scene.key("SET", "swept", 1)
    assert len(await scene.ledger.fleet.seize(dead=[dead.owner])) == JOBS_PER_CALL
    assert dead.owner in await neighbours(scene, dead)
    assert len(await scene.ledger.fleet.seize()) == JOBS_PER_CALL
    assert len(await scene.ledger.fleet.seize()) == JOBS_PER_CALL
    assert dead.owner not in await neighbours(scene, dead)


async def test_a_process_of_another_home_is_not_taken_for_dead_on_anyones_word(
    scene: LedgerScene, dead: Ledger
) -> None:
    """Its first heartbeat has not said yet what home it has."""
    claim = await claimed(scene, dead)
    await scene.die()
    assert await scene.ledger.fleet.seize(dead=[dead.owner]) == []
    assert await scene.settle(claim, Verdict.SUCCEEDED, by=dead) == "settled"


async def test_a_living_neighbour_is_not_among_the_dead(scene: LedgerScene, dead: Ledger) -> None:
    await scene.ledger.fleet.renew()
    await dead.fleet.renew()
    assert await neighbours(scene, dead) == {scene.ledger.owner, dead.owner}
    assert await scene.ledger.fleet.dead_neighbours() == []


async def test_a_neighbour_that_was_killed_is_among_the_dead(scene: LedgerScene, redis_server: RedisServer) -> None:
    await scene.ledger.fleet.renew()
    killed = await asyncio.to_thread(owner_that_was_killed, redis_server.url)
    assert await scene.ledger.fleet.dead_neighbours() == [killed]
    await scene.ledger.fleet.seize(dead=[killed])
    assert await scene.ledger.fleet.dead_neighbours() == []


async def test_a_process_that_leaves_the_fleet_is_no_neighbour_any_more(scene: LedgerScene) -> None:
    await scene.ledger.fleet.renew()
    await scene.ledger.fleet.retire()
    assert await neighbours(scene, scene.ledger) == set()


async def test_a_machine_whose_processes_are_gone_is_forgotten(scene: LedgerScene) -> None:
    await scene.ledger.fleet.renew()
    left = await scene.key("PTTL", home_of(scene.ledger))
    assert scene.ledger.policy.lease < left <= 10 * scene.ledger.policy.lease


async def test_a_process_without_a_home_has_no_neighbours(
    scene: LedgerScene, dead: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ledger.ledger.own_identity", lambda: ProcessIdentity(NO_HOME, 1, 0))
    homeless: Ledger = await scene.another()
    await homeless.fleet.renew()
    await dead.fleet.renew()
    claim = await claimed(scene, dead)
    assert await homeless.fleet.dead_neighbours() == []
    assert await homeless.fleet.seize() == []
    assert {name for name in (await scene.contents()).sets if name.startswith("home:")} == {home_of(dead)}
    await scene.die(dead)
    assert await homeless.fleet.seize() == [claim]
    await scene.settle(claim, Verdict.SUCCEEDED, by=homeless)
    assert await homeless.fleet.retire() == 0


def home_of(ledger: Ledger) -> str:
    identity = ProcessIdentity.of(ledger.owner)
    assert identity is not None
    return f"home:{identity.home}"


async def neighbours(scene: LedgerScene, ledger: Ledger) -> set[str]:
    return {each.decode() for each in await scene.key("SMEMBERS", home_of(ledger))}


def owner_that_was_killed(url: str) -> str:
    """A process that has sent a heartbeat, and was killed then."""
    program = (
        "import asyncio, sys, time\n"
        "from worker.ledger import Ledger\n"
        "async def join():\n"
        "    ledger = Ledger(sys.argv[1])\n"
        "    await ledger.fleet.renew()\n"
        "    print(ledger.owner, flush=True)\n"
        "    sys.stdin.read()\n"
        "asyncio.run(join())\n"
    )
    words = [sys.executable, "-c", program, url]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        owner = process.stdout.readline().strip()
        process.kill()
    return owner


async def claim_many(scene: LedgerScene, by: Ledger) -> None:
    """150 jobs of 15 lanes, in flight with a process."""
    lanes = [f"i-{n}" for n in range(15)]
    await scene.register(*lanes)
    for lane in lanes:
        await scene.owe(lane, *(f"{lane} {n}" for n in range(10)))
    for _ in range(2):
        await scene.claim(*lanes, room=75, by=by)


async def test_a_claim_belongs_to_the_term_in_which_it_was_made(scene: LedgerScene) -> None:
    """The ledger's reply renews the lease. Nothing else did yet."""
    claim = await claimed(scene, scene.ledger)
    assert scene.ledger.fleet.lease.covers(claim.term)
    await scene.ledger.fleet.renew()
    assert scene.ledger.fleet.lease.covers(claim.term)


async def test_jobs_that_are_leased_as_they_are_opened_belong_to_a_term_as_well(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (claim,), _ = await scene.open(await scene.publish("e-1"), "i-1", room=1)
    assert scene.ledger.fleet.lease.covers(claim.term)


async def test_calls_that_lease_nothing_renew_nothing(scene: LedgerScene) -> None:
    await scene.register("i-1")
    assert await scene.claim("i-1") == []
    await scene.open(await scene.publish("e-1"), "i-1", room=0)
    assert scene.ledger.fleet.lease.term == NO_TERM


async def test_a_claim_that_is_answered_during_the_first_heartbeat_is_kept(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    claims: list[Claim] = []

    def slowly(run: raw.Run) -> raw.Run:
        async def answered(name: str, **arguments: Any) -> Any:
            reply = await run(name, **arguments)
            if name == "renew":
                claims.extend(await scene.claim("i-1"))
            return reply

        return answered

    with raw.intercepted(scene.ledger, slowly):
        assert not await scene.ledger.fleet.renew()
    (claim,) = claims
    assert scene.ledger.fleet.lease.covers(claim.term)


async def test_a_claim_is_worthless_once_its_owner_was_forgotten(scene: LedgerScene) -> None:
    """Another process may have taken everything over, or Redis lost its data."""
    await scene.ledger.fleet.renew()
    claim = await claimed(scene, scene.ledger)
    await scene.key("ZREM", "owners", scene.ledger.owner)
    assert not await scene.ledger.fleet.renew()
    assert not scene.ledger.fleet.lease.covers(claim.term)
    await scene.ledger.jobs.release([claim])
    (again,) = await scene.claim("i-1")
    assert scene.ledger.fleet.lease.covers(again.term)


async def test_what_was_taken_over_is_never_sent(scene: LedgerScene, dead: Ledger) -> None:
    await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    await scene.ledger.fleet.renew()
    assert not scene.ledger.fleet.lease.covers(seized.term)


async def test_half_a_lease_between_two_sweeps_is_no_absence(scene: LedgerScene, dead: Ledger) -> None:
    claim = await claimed(scene, dead)
    await scene.die(dead)
    await scene.key("SET", "swept", await raw.now(scene.ledger) - scene.ledger.policy.lease // 3)
    assert await scene.ledger.fleet.seize() == [claim]


async def test_a_late_outcome_overwrites_that_the_attempt_was_lost(scene: LedgerScene, dead: Ledger) -> None:
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    await scene.settle(seized, Verdict.RETRY, lost=True, detail="lost")

    assert await scene.settle(claim, Verdict.RETRY, by=dead, detail="503 of the receiver") == "stale"
    assert (await scene.log(claim.job_id, 1)).error_detail == "503 of the receiver"
    # It does not move the job on.
    (again,) = await scene.claim("i-1")
    assert again.attempt == 2


async def test_that_an_attempt_was_lost_does_not_overwrite_what_is_known_of_it(
    scene: LedgerScene, dead: Ledger
) -> None:
    """The late outcome may come between the seizing and its settlement."""
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    assert await scene.settle(claim, Verdict.RETRY, by=dead, detail="503 of the receiver") == "stale"

    assert await scene.settle(seized, Verdict.RETRY, lost=True, detail="lost") == "settled"
    assert (await scene.log(claim.job_id, 1)).error_detail == "503 of the receiver"
    (again,) = await scene.claim("i-1")
    assert again.attempt == 2


async def test_a_reaper_that_was_taken_for_dead_writes_nothing_of_what_another_reaps(
    scene: LedgerScene, dead: Ledger
) -> None:
    reaper = await scene.another()
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await reaper.fleet.seize()
    await scene.die(reaper)
    (again,) = await scene.ledger.fleet.seize()
    assert await scene.settle(seized, Verdict.RETRY, lost=True, by=reaper) == "stale"
    assert (await scene.ledger.logs.of_job(claim.job_id, 0, 1)).items == []
    assert await scene.settle(again, Verdict.RETRY, lost=True) == "settled"


async def test_a_late_success_ends_a_job_that_waits_for_its_next_attempt(scene: LedgerScene, dead: Ledger) -> None:
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    await scene.settle(seized, Verdict.RETRY, lost=True)

    assert await scene.settle(claim, Verdict.SUCCEEDED, by=dead) == "late"
    assert await scene.state(claim.job_id) == (JobState.SUCCEEDED, "")
    assert (await scene.contents()).problems() == []
    assert await scene.claim("i-1") == []
    assert (await scene.log(claim.job_id, 1)).succeeded
    assert (await scene.ledger.logs.failures(scene.scope, 0, 10)).items == []


async def test_a_late_success_takes_the_job_out_of_another_processs_lease(scene: LedgerScene, dead: Ledger) -> None:
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    assert await scene.settle(claim, Verdict.SUCCEEDED, by=dead) == "late"

    assert await scene.ledger.fleet.leases() == []
    assert await scene.settle(seized, Verdict.RETRY, lost=True) == "stale"
    assert (await scene.log(claim.job_id, 1)).succeeded
    assert await scene.counter("succeeded") == 1


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_a_job_that_succeeded_late_has_succeeded_whatever_comes_of_the_attempt_under_way(
    scene: LedgerScene, dead: Ledger, verdict: Verdict
) -> None:
    claim, again = await overtaken(scene, dead)
    assert await scene.settle(claim, Verdict.SUCCEEDED, by=dead) == "late"
    assert await scene.settle(claim, Verdict.SUCCEEDED, by=dead) in ("late", "stale")
    await scene.settle(again, verdict, delay=HOUR)

    assert await scene.state(claim.job_id) == (JobState.SUCCEEDED, "")
    assert await scene.counter("succeeded") == 1
    logs = (await scene.ledger.logs.of_job(claim.job_id, 0, 2)).items
    assert [(each.attempt, each.succeeded) for each in logs] == [(2, verdict is Verdict.SUCCEEDED), (1, True)]


@pytest.mark.parametrize("again", ["a retry", "a loss", "a release"])
async def test_a_late_success_says_nothing_of_a_later_epoch(scene: LedgerScene, dead: Ledger, again: str) -> None:
    claim, second = await overtaken(scene, dead)
    await scene.settle(claim, Verdict.SUCCEEDED, by=dead)
    await scene.settle(second, Verdict.RETRY)
    await scene.ledger.redelivery.redeliver([claim.job_id])
    (third,) = await scene.claim("i-1")
    if again == "a release":
        await scene.ledger.jobs.release([third])
    else:
        await scene.settle(third, Verdict.RETRY, lost=again != "a retry")
    assert (await scene.state(claim.job_id))[0] is JobState.PENDING
    (fourth,) = await scene.claim("i-1")
    assert await scene.settle(fourth, Verdict.FAILED) == "settled"
    assert await scene.state(claim.job_id) == (JobState.FAILED, "exhausted")


async def overtaken(scene: LedgerScene, dead: Ledger) -> tuple[Claim, Claim]:
    """An attempt whose process was taken for dead, and the one that followed it."""
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    await scene.settle(seized, Verdict.RETRY, lost=True)
    (again,) = await scene.claim("i-1")
    return claim, again


@pytest.mark.parametrize("end", ["given back", "lost with its worker"])
async def test_an_attempt_whose_job_ended_by_a_late_success_leaves_no_gap_in_the_logs(
    scene: LedgerScene, dead: Ledger, end: str
) -> None:
    """Attempt 2 was issued when attempt 1 turned out to have succeeded; then nobody reports attempt 2."""
    third = await scene.another()
    claim, again = await overtaken(scene, dead)
    assert await scene.settle(claim, Verdict.SUCCEEDED, by=dead) == "late"

    if end == "given back":
        await scene.ledger.jobs.release([again])
    else:
        await scene.die(scene.ledger)
        for lost in await third.fleet.seize():
            await scene.settle(lost, Verdict.RETRY, lost=True, by=third)
    assert await scene.state(claim.job_id) == (JobState.SUCCEEDED, "")
    attempts = (await scene.job(claim.job_id)).attempts
    assert [each.attempt for each in (await scene.ledger.logs.of_job(claim.job_id, 0, attempts)).items] == [
        *range(attempts, 0, -1)
    ]


async def test_what_is_given_back_and_had_succeeded_late_makes_room_in_its_lane(scene: LedgerScene) -> None:
    dead = await scene.another(lane_cap=1)
    scene = LedgerScene(await scene.another(lane_cap=1), scene.another, scene.outstanding)
    claim, again = await overtaken(scene, dead)
    await scene.settle(claim, Verdict.SUCCEEDED, by=dead)
    await scene.owe("i-1", "e-2")
    assert (await scene.ledger.fleet.sweep()).lanes == [], "it is full"
    await scene.ledger.jobs.release([again])
    assert [each.id for each in (await scene.ledger.fleet.sweep()).lanes] == ["i-1"]


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.FAILED])
async def test_a_late_failure_does_not_end_a_job_that_goes_on(
    scene: LedgerScene, dead: Ledger, verdict: Verdict
) -> None:
    claim, again = await overtaken(scene, dead)
    assert await scene.settle(claim, verdict, by=dead, rest=HOUR) == "stale"
    assert (await scene.state(claim.job_id))[0] is JobState.PENDING
    assert await scene.settle(again, Verdict.SUCCEEDED) == "settled"


async def test_the_first_owners_token_is_worthless_once_another_has_the_job(scene: LedgerScene, dead: Ledger) -> None:
    claim = await claimed(scene, dead)
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    assert await dead.jobs.release([claim]) == 0
    assert await scene.settle(seized, Verdict.RETRY, lost=True) == "settled"


async def test_what_was_never_started_goes_back_and_its_number_is_un_issued(scene: LedgerScene) -> None:
    claim = await claimed(scene, scene.ledger)
    given = [claim]
    assert await scene.ledger.jobs.release(given) == 1
    assert await scene.ledger.jobs.release(given) == 0
    assert ((await scene.job(claim.job_id)).attempts, await scene.counter("attempts")) == (0, 0)

    (again,) = await scene.claim("i-1")
    assert again.attempt == 1
    assert await scene.ledger.jobs.release([replace(again, attempt=7)]) == 0
    await scene.settle(again, Verdict.SUCCEEDED)
    assert await scene.ledger.jobs.release(given) == 0


@pytest.mark.parametrize("leased_by", ["a claim", "an opening"])
async def test_a_release_that_is_repeated_after_its_reply_was_lost_spares_a_later_claim(
    scene: LedgerScene, leased_by: str
) -> None:
    """The later claim of the same process has the same attempt number."""
    if leased_by == "a claim":
        first = await claimed(scene, scene.ledger)
    else:
        await scene.register("i-1")
        ((first,), _) = await scene.open(await scene.publish("e-1"), "i-1", room=1)
    with replies_lost(scene.ledger), pytest.raises(LedgerUnavailable):
        await scene.ledger.jobs.release([first])
    (again,) = await scene.claim("i-1")
    assert (again.job_id, again.attempt) == (first.job_id, first.attempt)
    assert await scene.ledger.jobs.release([first]) == 0
    assert await scene.ledger.fleet.leases() == [again.job_id]
    assert await scene.settle(again, Verdict.SUCCEEDED) == "settled"


async def test_a_process_leaves_the_fleet_only_without_leases(scene: LedgerScene) -> None:
    claim = await claimed(scene, scene.ledger)
    assert await scene.ledger.fleet.retire() == 1
    assert (await scene.ledger.status.read()).processes == 1
    await scene.settle(claim, Verdict.SUCCEEDED)
    assert await scene.ledger.fleet.retire() == 0
    assert (await scene.ledger.status.read()).processes == 0


async def test_a_claim_whose_event_is_gone_says_so(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await scene.owe("i-1", "e-1")
    (ref,) = {row["event"] for row in (await scene.contents()).jobs.values()}
    saved = await raw.client(scene.ledger).dump(raw.key(scene.ledger, f"event:{ref}"))
    await scene.key("DEL", f"event:{ref}")
    (claim,) = await scene.claim("i-1")
    assert (claim.job_id, claim.event) == (job, None)
    await scene.key("RESTORE", f"event:{ref}", 0, saved)


async def test_two_jobs_of_one_lane_that_died_with_their_worker_share_its_event_and_cap(
    scene: LedgerScene, dead: Ledger
) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", *(f"e-{n}" for n in range(12)))
    await scene.claim("i-1", by=dead)
    await scene.die(dead)
    seized = await scene.ledger.fleet.seize()
    assert len(seized) == 10
    # They still take their places: nobody knows whether the receiver is still busy with them.
    assert await scene.claim("i-1") == []
    for claim in seized:
        await scene.settle(claim, Verdict.RETRY, lost=True)
    assert len(await scene.claim("i-1")) == 10


async def test_a_sweep_says_whether_its_process_is_alone_in_the_fleet(scene: LedgerScene) -> None:
    await scene.ledger.fleet.renew()
    assert (await scene.ledger.fleet.sweep()).alone
    other = await scene.another()
    await other.fleet.renew()
    assert not (await scene.ledger.fleet.sweep()).alone
    await other.fleet.retire()
    assert (await scene.ledger.fleet.sweep()).alone
