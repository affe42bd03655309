"""Outcomes into the ledger: states, logs, retention, deadlines, redelivery."""

from dataclasses import replace

import pytest

from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import SCOPE, an_integration
from worker.domain.claim import Claim
from worker.domain.event import Scope
from worker.domain.job import JobState
from worker.ledger import Verdict
from worker.ledger.policy import JOBS_PER_CALL

MINUTE_MS = 60_000


async def claimed(scene: LedgerScene, *event_ids: str) -> list[Claim]:
    await scene.register("i-1")
    await scene.owe("i-1", *(event_ids or ("e-1",)))
    return await scene.claim("i-1")


@pytest.mark.parametrize(
    ("verdict", "lost", "state", "reason"),
    [
        (Verdict.SUCCEEDED, False, JobState.SUCCEEDED, ""),
        (Verdict.FAILED, False, JobState.FAILED, "exhausted"),
        (Verdict.RETRY, False, JobState.PENDING, ""),
        (Verdict.RETRY, True, JobState.PENDING, ""),
    ],
)
async def test_an_outcome_moves_its_job_on(
    scene: LedgerScene, verdict: Verdict, lost: bool, state: JobState, reason: str
) -> None:
    (claim,) = await claimed(scene)
    assert await scene.settle(claim, verdict, lost=lost, delay=HOUR) == "settled"

    job = await scene.job(claim.job_id)
    assert (job.state, job.reason, job.attempts) == (state, reason, 1)
    assert (job.due_at is not None) == (state is JobState.PENDING)
    assert (job.ended_at is not None) == (state is not JobState.PENDING)
    assert job.lost == lost
    log = await scene.log(claim.job_id, 1)
    assert log.succeeded == (verdict is Verdict.SUCCEEDED)
    assert abs(log.created_at - await raw.now(scene.ledger)) < MINUTE_MS
    assert await scene.ledger.fleet.leases() == []


async def test_what_a_drain_interrupted_is_due_at_once(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.RETRY)
    (again,) = await scene.claim("i-1")
    assert (again.attempt, again.lost) == (2, 0)


async def test_repeating_a_settlement_whose_reply_was_lost_is_safe(scene: LedgerScene) -> None:
    first, second, third = await claimed(scene, "e-1", "e-2", "e-3")
    given = [
        settlement(first, Verdict.SUCCEEDED),
        settlement(second, Verdict.RETRY, delay=HOUR),
        settlement(third, Verdict.FAILED),
    ]
    settled = await scene.ledger.jobs.settle(given)
    assert (settled.results, settled.more) == (["settled"] * 3, [])
    before = await scene.contents()
    assert (await scene.ledger.jobs.settle(given)).results == ["stale"] * 3
    after = await scene.contents()
    assert (after.jobs, after.counters, after.pending) == (before.jobs, before.counters, before.pending)


async def test_an_outcome_that_is_in_one_call_twice_counts_once(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    twice = [settlement(claim, Verdict.SUCCEEDED)] * 2
    assert (await scene.ledger.jobs.settle(twice)).results == ["settled", "stale"]
    assert await scene.counter("succeeded") == 1


async def test_repeating_an_old_settlement_does_not_settle_the_next_attempt(scene: LedgerScene) -> None:
    (first,) = await claimed(scene)
    await scene.settle(first, Verdict.RETRY)
    (second,) = await scene.claim("i-1")
    assert await scene.settle(first, Verdict.RETRY) == "stale"
    assert await scene.settle(first, Verdict.FAILED) == "stale"
    assert (await scene.job(second.job_id)).attempts == 2
    assert await scene.settle(second, Verdict.SUCCEEDED) == "settled"


async def test_each_attempt_has_one_log_in_every_list_that_it_belongs_to(scene: LedgerScene) -> None:
    (first,) = await claimed(scene)
    await scene.settle(first, Verdict.RETRY, detail="503")
    await scene.settle(first, Verdict.RETRY, detail="503 again")
    (second,) = await scene.claim("i-1")
    await scene.settle(second, Verdict.SUCCEEDED)

    logs = scene.ledger.logs
    everything = [(2, True, ""), (1, False, "503 again")]
    for found in (
        (await logs.of_scope(SCOPE, 0, 10)).items,
        (await logs.of_integration("i-1", 0, 10)).items,
        (await logs.of_job(first.job_id, 0, 2)).items,
    ):
        assert [(log.attempt, log.succeeded, log.error_detail) for log in found] == everything
    assert [log.attempt for log in (await logs.failures(SCOPE, 0, 10)).items] == [1]
    assert [log.attempt for log in (await logs.of_scope(SCOPE, 1, 1)).items] == [1]
    assert (await logs.of_scope(Scope("org-1", "store-2"), 0, 10)).items == []


async def test_a_log_comes_back_as_it_was_written(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.RETRY, detail='"quotes", {braces}\n\x00 and Zoë 🚲')
    log = await scene.log(claim.job_id, 1)
    assert log.error_detail == '"quotes", {braces}\n\x00 and Zoë 🚲'
    assert (log.integration_id, log.event_type, log.processing_time) == ("i-1", "order.paid", 0.01)
    assert log.created_at > 1_600_000_000_000


async def test_logs_beyond_the_cap_go_the_oldest_first(scene: LedgerScene) -> None:
    few = await scene.another(log_cap=3)
    claims = await claimed(scene, *(f"e-{n}" for n in range(6)))
    indexes = (f"logs:store:{SCOPE.key}", "logs:integration:i-1", f"logs:failures:{SCOPE.key}")
    for claim in claims[:5]:
        await scene.settle(claim, Verdict.FAILED)
    await scene.ledger.jobs.release(claims[5:])
    (last,) = await scene.claim("i-1", by=few)
    await scene.settle(last, Verdict.FAILED, by=few)

    kept = [claim.job_id for claim in (last, claims[4], claims[3])]
    assert [log.job_id for log in (await scene.ledger.logs.of_scope(SCOPE, 0, 10)).items] == kept
    assert [log.job_id for log in (await scene.ledger.logs.of_integration("i-1", 0, 10)).items] == kept
    assert [log.job_id for log in (await scene.ledger.logs.failures(SCOPE, 0, 10)).items] == kept
    contents = await scene.contents()
    assert {name.split(":")[1] for name in contents.strings if name.startswith("log:")} == set(kept)
    assert [len(contents.lists[index]) for index in indexes] == [3, 3, 3]
    # What is beyond the cap is gone, and the audit is not to miss it.
    scene.outstanding |= {(claim.job_id, 1) for claim in claims[:3]}


async def test_index_entries_older_than_the_retention_go_when_more_logs_come(scene: LedgerScene) -> None:
    first, *others = await claimed(scene, *(f"e-{n}" for n in range(8)))
    await scene.settle(first, Verdict.RETRY, delay=HOUR)
    assert 0 <= scene.ledger.policy.log_retention - await scene.key("PTTL", f"log:{first.job_id}:1") < MINUTE_MS
    await scene.key("DEL", f"log:{first.job_id}:1")
    for each in others:
        await scene.settle(each, Verdict.RETRY, delay=HOUR)

    contents = await scene.contents()
    for index in (f"logs:store:{SCOPE.key}", "logs:integration:i-1", f"logs:failures:{SCOPE.key}"):
        assert contents.lists[index] == [f"{each.job_id}:1" for each in others]
        assert 0 <= scene.ledger.policy.log_retention - contents.ttls[index] < MINUTE_MS
    scene.outstanding.add((first.job_id, 1))


async def test_logs_that_have_expired_do_not_count_towards_the_cap(scene: LedgerScene) -> None:
    few = await scene.another(log_cap=3)
    claims = await claimed(scene, *(f"e-{n}" for n in range(4)))
    await scene.ledger.jobs.release(claims)
    first, *others = await scene.claim("i-1", by=few)
    await few.jobs.settle([settlement(each, Verdict.SUCCEEDED) for each in (first, *others[:2])])
    await scene.key("DEL", f"log:{first.job_id}:1")
    await scene.settle(others[2], Verdict.SUCCEEDED, by=few)

    kept = [claim.job_id for claim in reversed(others)]
    assert [log.job_id for log in (await scene.ledger.logs.of_scope(SCOPE, 0, 10)).items] == kept
    assert (await scene.contents()).lists["logs:integration:i-1"] == [f"{claim.job_id}:1" for claim in others]
    scene.outstanding.add((first.job_id, 1))


async def test_an_expired_failure_leaves_its_list_when_more_logs_of_the_store_come(scene: LedgerScene) -> None:
    first, *others = await claimed(scene, *(f"e-{n}" for n in range(8)))
    await scene.settle(first, Verdict.FAILED)
    await scene.key("DEL", f"log:{first.job_id}:1")
    for each in others:
        await scene.settle(each, Verdict.SUCCEEDED)

    assert f"logs:failures:{SCOPE.key}" not in (await scene.contents()).lists
    scene.outstanding.add((first.job_id, 1))


async def test_an_event_ends_with_the_last_of_its_jobs_however_many_a_call_settles(scene: LedgerScene) -> None:
    lanes = [f"i-{n}" for n in range(5)]
    await scene.register(*lanes)
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], *lanes)
    claims = await scene.claim(*lanes)
    await scene.ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED) for each in claims[:2]])
    assert (await scene.contents()).lists["ended"] == [each.job_id for each in claims[:2]]
    assert await scene.key("HGET", f"event:{stored.ref}:progress", "open") == b"3"

    await scene.ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED) for each in claims[2:]])
    ended = [each.job_id for each in claims]
    assert (await scene.contents()).lists["ended"] == [*ended[:4], f"+{ended[4]}"]
    assert await scene.key("EXISTS", f"event:{stored.ref}:progress") == 0


async def test_an_event_in_the_inbox_does_not_end_with_its_jobs(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], "i-1", "i-2", last=False)
    claims = await scene.claim("i-1", "i-2")
    await scene.ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED) for each in claims])
    assert (await scene.contents()).lists["ended"] == [each.job_id for each in claims]
    assert await scene.key("HGET", f"event:{stored.ref}:progress", "open") == b"0"
    await scene.open([stored])


async def test_of_two_outcomes_in_one_call_the_last_one_is_the_log(scene: LedgerScene) -> None:
    first, second = await claimed(scene, "e-1", "e-2")
    given = [
        settlement(second, Verdict.FAILED),
        settlement(first, Verdict.FAILED),
        settlement(first, Verdict.SUCCEEDED),
    ]
    await scene.ledger.jobs.settle(given)

    lists = (await scene.contents()).lists
    both = [f"{second.job_id}:1", f"{first.job_id}:1"]
    assert (lists[f"logs:store:{SCOPE.key}"], lists[f"logs:failures:{SCOPE.key}"]) == (both, both[:1])


async def test_a_lane_whose_last_due_job_has_succeeded_late_waits_for_no_service(scene: LedgerScene) -> None:
    first, second = await claimed(scene, "e-1", "e-2")
    # As if another process had taken the first job over and settled it as lost.
    await scene.settle(first, Verdict.RETRY, delay=HOUR)
    assert (await scene.contents()).scores["lanes"]
    await scene.ledger.jobs.settle([settlement(first, Verdict.SUCCEEDED), settlement(second, Verdict.SUCCEEDED)])

    assert "lanes" not in (await scene.contents()).scores


async def test_a_page_of_logs_counts_none_that_has_expired(scene: LedgerScene) -> None:
    claims = await claimed(scene, *(f"e-{n}" for n in range(5)))
    for claim in claims:
        await scene.settle(claim, Verdict.SUCCEEDED)
    for claim in (*claims[:2], claims[3]):
        await scene.key("DEL", f"log:{claim.job_id}:1")
        scene.outstanding.add((claim.job_id, 1))
    for page in (await scene.ledger.logs.of_scope(SCOPE, 0, 2), await scene.ledger.logs.of_integration("i-1", 0, 2)):
        assert ([log.job_id for log in page.items], page.total) == ([claims[4].job_id, claims[2].job_id], 2)


async def test_an_event_expires_when_its_last_job_has_ended_and_not_before(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    claims, _ = await scene.open([stored], "i-1", "i-2", room=2)
    await scene.settle(claims[0], Verdict.SUCCEEDED)
    await scene.retention_passes()
    assert await scene.is_kept(stored.ref)
    assert [job.id for job in await scene.ledger.jobs.get([claim.job_id for claim in claims])] == [claims[1].job_id]

    await scene.settle(claims[1], Verdict.FAILED)
    assert await scene.ledger.fleet.forget() == 0
    assert await scene.is_kept(stored.ref)
    await scene.retention_passes()
    assert not await scene.is_kept(stored.ref)


async def test_what_ended_is_forgotten_beside_a_job_that_waits_for_longer(scene: LedgerScene) -> None:
    """An old job that is still owed keeps no other in the lists."""
    claims = await claimed(scene, "oldest", "e-2", "e-3")
    await scene.settle(claims[0], Verdict.RETRY, delay=HOUR)
    for claim in claims[1:]:
        await scene.settle(claim, Verdict.SUCCEEDED)
    await scene.retention_passes()
    contents = await scene.contents()
    assert set(contents.scores["jobs:i-1"]) == {claims[0].job_id}
    assert set(contents.scores[f"events:{SCOPE.key}"]) == {claims[0].event_ref}
    assert "ended" not in contents.lists


async def test_a_job_that_was_reopened_is_kept_from_its_new_end_on(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene, "e-1")
    await scene.settle(claim, Verdict.FAILED)
    await scene.ledger.redelivery.redeliver([claim.job_id])
    await scene.retention_passes()
    assert await scene.is_kept(claim.event_ref)
    (again,) = await scene.claim("i-1")
    await scene.settle(again, Verdict.FAILED)
    # Two entries, and the first one is of an end that no longer counts.
    later = await scene.another(event_retention=60_000)
    assert await later.fleet.forget() == 0
    await scene.retention_passes()
    assert not await scene.is_kept(claim.event_ref)


async def test_a_job_past_its_deadline_fails_whatever_held_it(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await scene.owe("i-1", "e-1")
    await scene.disable("i-1")
    deadline = await scene.key_score("pending", job)
    assert abs(deadline - await raw.now(scene.ledger) - scene.ledger.policy.job_deadline) < MINUTE_MS
    assert await scene.ledger.fleet.expire() == 0

    await scene.overdue(job)
    assert await scene.ledger.fleet.expire() == 1
    assert await scene.state(job) == (JobState.FAILED, "deadline")
    assert await scene.ledger.fleet.expire() == 0


async def test_jobs_past_their_deadline_end_a_call_full_at_a_time(scene: LedgerScene) -> None:
    await scene.register("i-1")
    jobs = await scene.owe("i-1", *(f"e-{n}" for n in range(JOBS_PER_CALL * 2)))
    for job in jobs + await scene.owe("i-1", *(f"late-{n}" for n in range(5))):
        await scene.overdue(job)
    ended = [await scene.ledger.fleet.expire() for _ in range(4)]
    assert ended == [JOBS_PER_CALL, JOBS_PER_CALL, 5, 0]


async def test_a_job_in_flight_at_its_deadline_may_still_succeed(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.overdue(claim.job_id)
    assert await scene.ledger.fleet.expire() == 0
    assert await scene.ledger.fleet.expire() == 0
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"


async def test_a_job_in_flight_at_its_deadline_is_not_tried_again(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.overdue(claim.job_id)
    assert await scene.settle(claim, Verdict.RETRY) == "settled"
    assert await scene.state(claim.job_id) == (JobState.FAILED, "deadline")


async def test_that_a_sweep_found_a_job_in_flight_does_not_put_its_deadline_off(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.overdue(claim.job_id)
    await scene.ledger.fleet.expire()
    assert await scene.settle(claim, Verdict.RETRY) == "settled"
    assert await scene.state(claim.job_id) == (JobState.FAILED, "deadline")


async def test_a_job_whose_next_attempt_would_come_after_its_deadline_fails_at_once(scene: LedgerScene) -> None:
    first, second = await claimed(scene, "e-1", "e-2")
    left = scene.ledger.policy.job_deadline / 1000
    await scene.settle(first, Verdict.RETRY, delay=left + 60)
    await scene.settle(second, Verdict.RETRY, delay=left - 60)
    assert await scene.state(first.job_id) == (JobState.FAILED, "deadline")
    assert (await scene.state(second.job_id))[0] is JobState.PENDING


async def test_a_pending_entry_without_a_job_goes(scene: LedgerScene) -> None:
    await scene.key("ZADD", "pending", 1, "no-such-job")
    assert await scene.ledger.fleet.expire() == 0
    assert (await scene.ledger.status.read()).pending == 0


async def test_redelivery_reopens_an_ended_job_in_a_new_epoch(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.RETRY, lost=True)
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.FAILED)

    assert await scene.ledger.redelivery.redeliver([claim.job_id]) == ["reopened"]
    job = await scene.job(claim.job_id)
    assert (job.state, job.reason, job.epoch, job.lost, job.ended_at) == (JobState.PENDING, "", 1, 0, None)
    (again,) = await scene.claim("i-1")
    # Attempts go on counting; the schedule starts anew.
    assert (again.attempt, again.base, again.epoch, again.lost) == (3, 2, 1, 0)
    assert await scene.settle(again, Verdict.SUCCEEDED) == "settled"
    assert [await scene.counter(name) for name in ("reopened", "succeeded", "failed")] == [1, 1, 1]


async def test_a_success_of_an_earlier_epoch_does_not_end_a_reopened_job(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.FAILED)
    await scene.ledger.redelivery.redeliver([claim.job_id])
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "stale"
    (again,) = await scene.claim("i-1")
    assert await scene.settle(again, Verdict.SUCCEEDED) == "settled"


async def test_redelivery_gives_a_job_its_whole_deadline_again(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (job,) = await scene.owe("i-1", "e-1")
    await scene.overdue(job)
    await scene.ledger.fleet.expire()
    assert await scene.ledger.redelivery.redeliver([job]) == ["reopened"]
    assert await scene.ledger.fleet.expire() == 0
    deadline = await scene.key_score("pending", job)
    assert abs(deadline - await raw.now(scene.ledger) - scene.ledger.policy.job_deadline) < MINUTE_MS
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY)
    assert (await scene.state(job))[0] is JobState.PENDING


async def test_redelivery_of_a_job_that_waits_makes_it_due_now(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.RETRY, delay=HOUR)
    assert await scene.ledger.redelivery.redeliver([claim.job_id]) == ["due"]
    (again,) = await scene.claim("i-1")
    assert (again.attempt, again.base, again.epoch) == (2, 0, 0)
    assert await scene.counter("reopened") == 0


async def test_redelivery_leaves_a_job_in_flight_alone(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    assert await scene.ledger.redelivery.redeliver([claim.job_id]) == ["in_flight"]
    assert await scene.claim("i-1") == []


async def test_redelivery_of_one_job_twice_in_a_call_reopens_it_once(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.SUCCEEDED)
    assert await scene.ledger.redelivery.redeliver([claim.job_id, claim.job_id]) == ["reopened", "due"]


async def test_what_retention_or_a_person_removed_is_not_redelivered(scene: LedgerScene) -> None:
    no_event, no_integration = await claimed(scene, "e-1", "e-2")
    await scene.settle(no_event, Verdict.FAILED)
    assert no_event.event is not None
    saved = await raw.client(scene.ledger).dump(raw.key(scene.ledger, f"event:{no_event.event_ref}"))
    await scene.key("DEL", f"event:{no_event.event_ref}")
    assert await scene.ledger.redelivery.redeliver([no_event.job_id, "no-such-job"]) == ["gone", "gone"]
    await scene.key("RESTORE", f"event:{no_event.event_ref}", 0, saved)

    await scene.settle(no_integration, Verdict.FAILED)
    await scene.ledger.integrations.delete("i-1")
    assert await scene.ledger.redelivery.redeliver([no_integration.job_id]) == ["gone"]


async def test_redelivery_to_a_disabled_integration_waits_until_it_is_enabled(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.FAILED)
    await scene.disable("i-1")
    assert await scene.ledger.redelivery.redeliver([claim.job_id]) == ["reopened"]
    assert await scene.claim("i-1") == []
    await scene.ledger.integrations.put(an_integration())
    assert len(await scene.claim("i-1")) == 1


async def test_what_an_old_configurations_receiver_asked_for_does_not_touch_the_new_one(scene: LedgerScene) -> None:
    integration = an_integration("i-1")
    await scene.ledger.integrations.put(integration)
    await scene.owe("i-1", "e-1", "e-2")
    (claim,) = await scene.claim("i-1", room=1)
    await scene.ledger.integrations.put(replace(integration, name="mended"))
    gone = replace(settlement(claim, Verdict.FAILED, rest=HOUR), disable="answered 410")
    await scene.ledger.jobs.settle([gone])

    (found,) = await scene.ledger.integrations.get(["i-1"])
    assert (found.enabled, found.disabled_reason) == (True, "")
    # Neither does the lane rest, nor is the one that the old one refused for good over: the new one was not asked.
    assert len(await scene.claim("i-1")) == 2


async def test_a_receiver_that_is_gone_has_its_integration_disabled_with_the_settlement(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2")
    (claim,) = await scene.claim("i-1", room=1)
    await scene.ledger.jobs.settle([replace(settlement(claim, Verdict.FAILED), disable="answered 410")])

    (found,) = await scene.ledger.integrations.get(["i-1"])
    assert (found.enabled, found.disabled_reason) == (False, "answered 410")
    assert await scene.claim("i-1") == []
    assert (await scene.ledger.status.read()).pending == 1


async def test_a_loss_that_ends_the_job_overwrites_no_known_outcome_either(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1", by=other)
    await scene.die(other)
    (seized,) = await scene.ledger.fleet.seize()
    await scene.settle(claim, Verdict.RETRY, by=other, detail="the truth")
    await scene.ledger.jobs.settle([replace(settlement(seized, Verdict.FAILED, detail="lost"), lost=True)])

    assert (await scene.log(claim.job_id, 1)).error_detail == "the truth"
    assert await scene.counter("lost") == 1


async def test_a_lanes_cap_is_the_fleets_present_one(scene: LedgerScene) -> None:
    narrow = await scene.another(lane_cap=2)
    await scene.register("i-1")
    await scene.owe("i-1", *(f"e-{n}" for n in range(12)))
    assert len(await scene.claim("i-1", by=narrow)) == 2
    assert len(await scene.claim("i-1")) == 8
