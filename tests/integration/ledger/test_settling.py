"""Outcomes into the ledger: states, logs, retention, deadlines, redelivery."""

from dataclasses import replace

import msgspec
import pytest

from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import SCOPE, an_integration
from worker.domain.claim import Claim
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
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
    raw = await scene.key("GET", f"log:{claim.job_id}:1")
    assert msgspec.json.decode(raw)["created_at"] == log.created_at


async def test_logs_beyond_the_cap_go_the_oldest_first(scene: LedgerScene) -> None:
    few = await scene.another(log_cap=3)
    claims = await claimed(scene, *(f"e-{n}" for n in range(6)))
    indexes = (f"logs:store:{SCOPE.key}", "logs:integration:i-1", f"logs:failures:{SCOPE.key}")
    now = await raw.now(scene.ledger)
    for age, claim in enumerate(claims[:5]):
        await scene.settle(claim, Verdict.FAILED)
        for index in indexes:
            await scene.key("ZADD", index, now - 5_000 + age, f"{claim.job_id}:1")
    await scene.ledger.jobs.release([(claims[5].job_id, 1)])
    (last,) = await scene.claim("i-1", by=few)
    await scene.settle(last, Verdict.FAILED, by=few)

    kept = [claim.job_id for claim in (last, claims[4], claims[3])]
    assert [log.job_id for log in (await scene.ledger.logs.of_scope(SCOPE, 0, 10)).items] == kept
    assert [log.job_id for log in (await scene.ledger.logs.of_integration("i-1", 0, 10)).items] == kept
    assert [log.job_id for log in (await scene.ledger.logs.failures(SCOPE, 0, 10)).items] == kept
    contents = await scene.contents()
    assert {name.split(":")[1] for name in contents.strings if name.startswith("log:")} == set(kept)
    assert [len(contents.scores[index]) for index in indexes] == [3, 3, 3]
    # What is beyond the cap is gone, and the audit is not to miss it.
    scene.outstanding |= {(claim.job_id, 1) for claim in claims[:3]}


async def test_index_entries_older_than_the_retention_go_with_the_logs(scene: LedgerScene) -> None:
    first, second = await claimed(scene, "e-1", "e-2")
    await scene.settle(first, Verdict.RETRY, delay=HOUR)
    for index in (f"logs:store:{SCOPE.key}", "logs:integration:i-1", f"logs:failures:{SCOPE.key}"):
        await scene.key("ZADD", index, 1, f"{first.job_id}:1")
    await scene.settle(second, Verdict.RETRY, delay=HOUR)

    contents = await scene.contents()
    for index in (f"logs:store:{SCOPE.key}", "logs:integration:i-1", f"logs:failures:{SCOPE.key}"):
        assert set(contents.scores[index]) == {f"{second.job_id}:1"}
        assert 0 <= scene.ledger.policy.log_retention - contents.ttls[index] < MINUTE_MS
    assert 0 <= scene.ledger.policy.log_retention - contents.ttls[f"log:{first.job_id}:1"] < MINUTE_MS
    await scene.key("DEL", f"log:{first.job_id}:1")
    scene.outstanding.add((first.job_id, 1))


async def test_an_event_expires_when_its_last_job_has_ended_and_not_before(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    claims, _ = await scene.open([stored], "i-1", "i-2", room=2)
    keys = (f"event:{stored.ref}", f"event:{stored.ref}:jobs")
    await scene.settle(claims[0], Verdict.SUCCEEDED)
    assert [await scene.key("PTTL", key) for key in keys] == [-1, -1]

    await scene.settle(claims[1], Verdict.FAILED)
    retention = scene.ledger.policy.event_retention
    for key in (*keys, *(f"job:{claim.job_id}" for claim in claims)):
        assert 0 <= retention - await scene.key("PTTL", key) < MINUTE_MS


async def test_index_entries_of_jobs_that_retention_dropped_go_as_new_ones_come(scene: LedgerScene) -> None:
    claims = await claimed(scene, "e-1", "e-2", "e-3")
    for claim in claims:
        await scene.settle(claim, Verdict.SUCCEEDED)
        event = (await scene.contents()).jobs[claim.job_id]["event"]
        for key in (f"job:{claim.job_id}", f"event:{event}", f"event:{event}:jobs", f"log:{claim.job_id}:1"):
            await scene.key("DEL", key)
        for index in (f"logs:store:{SCOPE.key}", "logs:integration:i-1"):
            await scene.key("ZREM", index, f"{claim.job_id}:1")
    await scene.key("HINCRBY", "counters", "attempts", -3)
    assert await scene.ledger.jobs.get([claim.job_id for claim in claims]) == []

    (job,) = await scene.owe("i-1", "e-4")
    # Twice as fast as new ones come.
    assert await scene.key("ZCARD", "jobs:i-1") == 2
    (other,) = await scene.owe("i-1", "e-5")
    assert {each.decode() for each in await scene.key("ZRANGE", "jobs:i-1", 0, -1)} == {job, other}


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
    count = JOBS_PER_CALL * 2 + 5
    for job in await scene.owe("i-1", *(f"e-{n}" for n in range(count))):
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
    await scene.key("RESTORE", f"event:{no_event.event_ref}", 60_000, saved)

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


async def test_logs_that_an_older_version_wrote_are_read_beside_new_ones(scene: LedgerScene) -> None:
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.RETRY, detail="of this version")
    old = (
        '{"created_at":1700000000123,"integration_id":"i-1","succeeded":false,"body":"busy }","status_code":503,'
        '"error_detail":"answered 503","processing_time":0.012,"event_id":"e-1","event_type":"order.paid"}'
    )
    # An attempt that is not settled again: the older version's log of it is all there is.
    (second,) = await scene.claim("i-1")
    await scene.settle(second, Verdict.RETRY)
    await scene.key("SET", f"log:{claim.job_id}:2", old, "PX", 3_600_000)

    assert await scene.log(claim.job_id, 2) == IntegrationLog(
        claim.job_id, "i-1", 2, False, "busy }", 503, "answered 503", 0.012, 1700000000123, "e-1", "order.paid"
    )
    logs = (await scene.ledger.logs.of_integration("i-1", 0, 10)).items
    assert sorted((log.attempt, log.error_detail) for log in logs) == [(1, "of this version"), (2, "answered 503")]


async def test_a_new_log_is_kept_in_the_shape_that_an_older_version_reads(scene: LedgerScene) -> None:
    """While a fleet is updated, processes of both versions write and read logs."""
    (claim,) = await claimed(scene)
    await scene.settle(claim, Verdict.SUCCEEDED)
    kept = msgspec.json.decode(await scene.key("GET", f"log:{claim.job_id}:1"))
    created_at = kept.pop("created_at")
    assert abs(created_at - await raw.now(scene.ledger)) < MINUTE_MS
    assert kept == {
        "integration_id": "i-1",
        "succeeded": True,
        "body": "",
        "status_code": 200,
        "error_detail": "",
        "processing_time": 0.01,
        "event_id": "e",
        "event_type": "order.paid",
    }
