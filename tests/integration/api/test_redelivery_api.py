"""Owing it anew: one job or many, what was missed, and never twice under one key."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.api_client import Answer, Api, Client, Serve, consistent
from tests.fleet.processes import StartWorker
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import inspection, surgery
from tests.ledger.scene import HOUR, LedgerScene
from tests.samples import SCOPE
from tests.waiting import eventually
from worker.domain.claim import Claim
from worker.domain.event import rfc3339
from worker.domain.job import JobState, job_id
from worker.ledger import Verdict
from worker.ledger.lanes.reopening import Reopening, SelectedJobs

ALL = "/v2/integrations"
COUNTS = ("reopened", "due", "in_flight", "opened", "gone")


@pytest.fixture
async def integration(admin: Client) -> str:
    return str((await admin.create())["id"])


async def ended(scene: LedgerScene, lane: str, verdict: Verdict, *events: str) -> list[str]:
    """Jobs that were tried once, and ended."""
    jobs = await scene.owe(lane, *events)
    await settle_all(scene, lane, verdict)
    return jobs


async def settle_all(scene: LedgerScene, lane: str, verdict: Verdict, delay: float = 0) -> list[Claim]:
    claims = await scene.claim(lane)
    for claim in claims:
        await scene.settle(claim, verdict, delay=delay)
    return claims


async def redeliver(client: Client, integration: str, key: str | None = None, **attributes: Any) -> dict[str, Any]:
    """Redelivers many; answers what was said of it."""
    headers = {"Idempotency-Key": key} if key else {}
    body = {"data": {name.removesuffix("_"): value for name, value in attributes.items()}}
    answer = await client.post(f"{ALL}/{integration}/redeliver", body, headers)
    assert answer.status == (200 if attributes.get("dry_run") else 202), answer.raw
    found: dict[str, Any] = answer.data
    return found


def counts(found: dict[str, Any]) -> dict[str, int]:
    """The counts that are not 0."""
    return {name: found[name] for name in COUNTS if found[name]}


async def forget_event(scene: LedgerScene, job: str) -> None:
    """Retention drops a job's event."""
    await surgery.forget_event(scene.ledger, (await scene.job(job)).event_ref)


# One job


async def test_a_job_that_failed_is_owed_anew_and_its_attempts_count_on(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    (job,) = await ended(scene, integration, Verdict.FAILED, "e-1")
    path = f"{ALL}/{integration}/jobs/{job}"
    assert (await admin.get(path)).data["reason"] == "exhausted"

    answer = await admin.post(f"{path}/redeliver")

    assert answer.status == 202
    assert answer.document["meta"] == {"redelivery": "reopened"}
    assert (answer.data["id"], answer.data["state"], answer.data["epoch"]) == (job, "pending", 1)
    assert "reason" not in answer.data
    assert "ended_at" not in answer.data["meta"]["timestamps"]
    assert answer.data == (await admin.get(path)).data
    (claim,) = await scene.claim(integration)
    assert (claim.attempt, claim.base, claim.epoch) == (2, 1, 1)
    await scene.settle(claim, Verdict.SUCCEEDED)
    assert [log["attempt"] for log in (await admin.get(f"{path}/logs")).data] == [2, 1]


@pytest.mark.parametrize("state", ["succeeded", "cancelled"])
async def test_a_job_that_ended_otherwise_may_be_owed_anew_too(
    admin: Client, scene: LedgerScene, integration: str, state: str
) -> None:
    if state == "succeeded":
        (job,) = await ended(scene, integration, Verdict.SUCCEEDED, "e-1")
    else:
        (job,) = await scene.owe(integration, "e-1")
        await surgery.cancel_for_overflow(scene.ledger, job)
    path = f"{ALL}/{integration}/jobs/{job}"
    assert (await admin.get(path)).data["state"] == state
    answer = await admin.post(f"{path}/redeliver")
    assert (answer.data["state"], answer.document["meta"]["redelivery"]) == ("pending", "reopened")
    assert [claim.job_id for claim in await settle_all(scene, integration, Verdict.SUCCEEDED)] == [job]


async def test_a_job_that_waits_is_due_now(admin: Client, scene: LedgerScene, integration: str) -> None:
    (job,) = await scene.owe(integration, "e-1")
    await settle_all(scene, integration, Verdict.RETRY, HOUR)
    path = f"{ALL}/{integration}/jobs/{job}"
    waits = datetime.fromisoformat((await admin.get(path)).data["next_attempt_at"])
    assert waits > datetime.now(UTC) + timedelta(minutes=50)

    answer = await admin.post(f"{path}/redeliver")

    assert (answer.status, answer.document["meta"]["redelivery"]) == (202, "due")
    assert datetime.fromisoformat(answer.data["next_attempt_at"]) <= datetime.now(UTC) + timedelta(seconds=1)
    assert answer.data["epoch"] == 0
    (claim,) = await scene.claim(integration)
    assert (claim.job_id, claim.attempt) == (job, 2)


async def test_an_attempt_under_way_is_left_alone(admin: Client, scene: LedgerScene, integration: str) -> None:
    (job,) = await scene.owe(integration, "e-1")
    (claim,) = await scene.claim(integration)
    before = (await scene.contents()).jobs[job]
    answer = await admin.post(f"{ALL}/{integration}/jobs/{job}/redeliver")
    assert (answer.status, answer.document["meta"]["redelivery"]) == (202, "in_flight")
    assert "next_attempt_at" not in answer.data
    assert (await scene.contents()).jobs[job] == before
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"


async def test_what_is_delivered_while_its_lane_is_made_due_is_not_delivered_again(
    admin: Client, scene: LedgerScene, integration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between choosing the pending ones and making them due, those in flight go on."""
    under_way = await scene.owe(integration, "e-1", "e-2")
    claims = await scene.claim(integration)
    (waits,) = await scene.owe(integration, "e-3")
    select = Reopening.select

    async def select_and_settle(*given: Any, **named: Any) -> SelectedJobs:
        found = await select(*given, **named)
        for claim in claims:
            await scene.settle(claim, Verdict.SUCCEEDED)
        claims.clear()
        return found

    monkeypatch.setattr(Reopening, "select", select_and_settle)
    assert counts(await redeliver(admin, integration, state="pending")) == {"due": 1}
    assert {(await scene.job(job)).state for job in under_way} == {JobState.SUCCEEDED}
    assert (await scene.job(waits)).state is JobState.PENDING
    assert await scene.counter("reopened") == 0


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.FAILED])
async def test_under_one_key_a_job_is_reopened_once_and_under_another_again(
    admin: Client, scene: LedgerScene, integration: str, verdict: Verdict
) -> None:
    """A job that succeeds again would else be delivered once more by every repetition."""
    (job,) = await ended(scene, integration, verdict, "e-1")

    async def ask(key: str | None) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        answer = await admin.post(f"{ALL}/{integration}/jobs/{job}/redeliver", headers=headers)
        assert answer.status == 202, answer.raw
        return str(answer.document["meta"]["redelivery"])

    assert await ask("k-1") == "reopened"
    assert await ask("k-1") == "known"
    await settle_all(scene, integration, verdict)
    assert await ask("k-1") == "known"
    assert await scene.claim(integration) == []
    assert await ask("k-2") == "reopened"
    await settle_all(scene, integration, verdict)
    # A request without a key asks for something new each time.
    assert [await ask(None), await ask(None)] == ["reopened", "due"]


async def test_a_key_is_the_integrations_own(admin: Client, scene: LedgerScene, integration: str) -> None:
    other = (await admin.create())["id"]
    (mine,) = await ended(scene, integration, Verdict.FAILED, "e-1")
    (theirs,) = await ended(scene, other, Verdict.FAILED, "e-2")
    for lane, job in ((integration, mine), (other, theirs)):
        answer = await admin.post(f"{ALL}/{lane}/jobs/{job}/redeliver", headers={"Idempotency-Key": "same"})
        assert answer.document["meta"]["redelivery"] == "reopened"


async def test_a_job_whose_event_is_gone_cannot_be_redelivered_and_the_answer_says_why(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    (job,) = await ended(scene, integration, Verdict.FAILED, "e-1")
    await forget_event(scene, job)
    answer = await admin.post(f"{ALL}/{integration}/jobs/{job}/redeliver")
    assert answer.status == 409
    assert "retention has dropped the event" in answer.errors[0]["detail"]
    assert await scene.state(job) == (JobState.FAILED, "exhausted")


async def test_a_job_that_there_is_not_is_not_found(admin: Client, scene: LedgerScene, integration: str) -> None:
    (job,) = await ended(scene, integration, Verdict.FAILED, "e-1")
    other = (await admin.create())["id"]
    for path in (
        f"{ALL}/{integration}/jobs/{uuid4()}",
        f"{ALL}/{integration}/jobs/nonsense",
        f"{ALL}/{other}/jobs/{job}",
        f"{ALL}/{uuid4()}/jobs/{job}",
    ):
        assert (await admin.post(f"{path}/redeliver")).status == 404
        assert (await admin.get(path)).status == 404
    assert (await admin.post(f"{ALL}/{uuid4()}/redeliver")).status == 404
    assert await scene.counter("reopened") == 0


async def test_the_job_says_its_state_its_attempts_and_the_next_one(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    (job,) = await scene.owe(integration, "e-1")
    path = f"{ALL}/{integration}/jobs/{job}"
    waiting = (await admin.get(path)).data
    assert (waiting["state"], waiting["attempts"], waiting["epoch"]) == ("pending", 0, 0)
    assert (waiting["event_id"], waiting["triggered_by"]) == ("e-1", "order.paid")
    assert waiting["relationships"] == {"integration": {"data": {"id": integration, "type": "integration"}}}
    assert waiting["next_attempt_at"] == waiting["meta"]["timestamps"]["created_at"]
    await settle_all(scene, integration, Verdict.RETRY, HOUR)
    tried = (await admin.get(path)).data
    due = datetime.fromisoformat(tried["next_attempt_at"])
    assert abs(due - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert tried["attempts"] == 1
    await admin.post(f"{path}/redeliver")
    await settle_all(scene, integration, Verdict.SUCCEEDED)
    over = (await admin.get(path)).data
    assert (over["state"], over["attempts"], "next_attempt_at" in over) == ("succeeded", 2, False)
    assert over["meta"]["timestamps"]["ended_at"] >= over["meta"]["timestamps"]["created_at"]


# Many


@pytest.fixture
async def variety(scene: LedgerScene, integration: str) -> dict[str, str]:
    """A job of each kind; answers kind → job."""
    (failed,) = await ended(scene, integration, Verdict.FAILED, "failed")
    (succeeded,) = await ended(scene, integration, Verdict.SUCCEEDED, "succeeded")
    (cancelled,) = await scene.owe(integration, "cancelled")
    await surgery.cancel_for_overflow(scene.ledger, cancelled)
    (waits,) = await scene.owe(integration, "waits")
    await settle_all(scene, integration, Verdict.RETRY, HOUR)
    (flies,) = await scene.owe(integration, "flies")
    await scene.claim(integration)
    return {"failed": failed, "succeeded": succeeded, "cancelled": cancelled, "waits": waits, "flies": flies}


@pytest.mark.parametrize(
    ("attributes", "expected", "moved"),
    [
        ({}, {"reopened": 1}, ["failed"]),
        ({"state": "failed"}, {"reopened": 1}, ["failed"]),
        ({"state": "succeeded"}, {"reopened": 1}, ["succeeded"]),
        ({"state": "cancelled"}, {"reopened": 1}, ["cancelled"]),
        ({"state": "pending"}, {"due": 1, "in_flight": 1}, ["waits"]),
    ],
)
async def test_what_is_redelivered_is_of_the_state_and_a_dry_run_said_so(
    admin: Client,
    scene: LedgerScene,
    integration: str,
    variety: dict[str, str],
    attributes: dict[str, str],
    expected: dict[str, int],
    moved: list[str],
) -> None:
    before = await scene.contents()
    dry = await redeliver(admin, integration, dry_run=True, **attributes)
    assert (counts(dry), dry["dry_run"], dry["complete"]) == (expected, True, True)
    assert (await scene.contents()).tables == before.tables

    done = await redeliver(admin, integration, **attributes)

    assert (counts(done), done["dry_run"], done["complete"]) == (expected, False, True)
    assert "cursor" not in done
    claimed = {claim.job_id for claim in await scene.claim(integration)}
    assert claimed == {variety[kind] for kind in moved}


async def test_without_a_body_the_failed_ones_are_meant_and_the_query_may_say_otherwise(
    admin: Client, scene: LedgerScene, integration: str, variety: dict[str, str]
) -> None:
    path = f"{ALL}/{integration}/redeliver"
    dry = await admin.ask("POST", path, query={"dry_run": "true", "state": "succeeded"})
    assert (dry.status, counts(dry.data)) == (200, {"reopened": 1})
    done = await admin.post(path)
    assert (done.status, counts(done.data)) == (202, {"reopened": 1})
    assert [claim.job_id for claim in await scene.claim(integration)] == [variety["failed"]]


async def test_only_what_was_opened_in_the_time_is_redelivered_both_ends_included(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    jobs = await ended(scene, integration, Verdict.FAILED, *(f"e-{n}" for n in range(5)))
    begin = await inspection.redis_time(scene.ledger) - 3_600_000
    await surgery.date_jobs(scene.ledger, integration, {job: begin + n * 60_000 for n, job in enumerate(jobs)})

    def at(n: int, more: int = 0) -> str:
        return rfc3339(begin + n * 60_000 + more)

    async def would(**times: str) -> int:
        return int((await redeliver(admin, integration, dry_run=True, **times))["reopened"])

    assert await would(from_=at(1), to=at(3)) == 3
    assert await would(from_=at(1, 1), to=at(3, -1)) == 1
    assert await would(from_=at(4)) == 1
    assert await would(to=at(0)) == 1
    assert await would(to=at(0, -1)) == 0
    # In another offset it is the same moment.
    offset = datetime.fromtimestamp((begin + 60_000) / 1000, UTC) + timedelta(hours=2)
    assert await would(to=offset.isoformat(timespec="milliseconds").replace("+00:00", "+02:00")) == 2
    assert counts(await redeliver(admin, integration, from_=at(1), to=at(3))) == {"reopened": 3}
    assert {claim.job_id for claim in await scene.claim(integration)} == set(jobs[1:4])


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.FAILED])
async def test_repeated_under_its_key_a_redelivery_of_many_redelivers_nothing_twice(
    admin: Client, scene: LedgerScene, integration: str, verdict: Verdict
) -> None:
    await ended(scene, integration, verdict, *(f"e-{n}" for n in range(5)))
    state = verdict.value
    first = await redeliver(admin, integration, "k-1", state=state)
    assert (counts(first), first["id"]) == ({"reopened": 5}, "k-1")
    assert counts(await redeliver(admin, integration, "k-1", state=state)) == {}
    await settle_all(scene, integration, verdict)
    assert counts(await redeliver(admin, integration, "k-1", state=state, dry_run=True)) == {}
    assert counts(await redeliver(admin, integration, "k-1", state=state)) == {}
    assert await scene.claim(integration) == []
    # The id of an answer is a key too, for a request that named none.
    second = await redeliver(admin, integration, state=state)
    assert counts(second) == {"reopened": 5}
    await settle_all(scene, integration, verdict)
    assert counts(await redeliver(admin, integration, second["id"], state=state)) == {}


async def test_many_at_once_under_one_key_reopen_each_job_once(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    await ended(scene, integration, Verdict.FAILED, *(f"e-{n}" for n in range(10)))
    found = await asyncio.gather(*(redeliver(admin, integration, "k-1") for _ in range(10)))
    assert sum(each["reopened"] for each in found) == 10
    assert sum(each["due"] for each in found) == 0
    assert await scene.counter("reopened") == 10


async def test_many_at_once_under_many_keys_owe_each_job_once(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    jobs = await ended(scene, integration, Verdict.FAILED, *(f"e-{n}" for n in range(10)))
    found = await asyncio.gather(*(redeliver(admin, integration) for _ in range(10)))
    assert sum(each["reopened"] for each in found) == 10
    assert {claim.job_id for claim in await scene.claim(integration)} == set(jobs)


async def test_jobs_whose_event_is_gone_are_counted_and_left(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    first, second, third = await ended(scene, integration, Verdict.FAILED, "e-1", "e-2", "e-3")
    await forget_event(scene, first)
    await forget_event(scene, third)
    assert counts(await redeliver(admin, integration, dry_run=True)) == {"reopened": 1, "gone": 2}
    assert counts(await redeliver(admin, integration)) == {"reopened": 1, "gone": 2}
    assert [claim.job_id for claim in await scene.claim(integration)] == [second]


async def test_a_time_that_retention_has_dropped_is_refused_and_the_answer_says_since_when(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    await ended(scene, integration, Verdict.FAILED, "e-1")
    now = datetime.now(UTC)
    for attributes in ({}, {"dry_run": True}, {"missing": True}):
        body = {"data": attributes | {"from": (now - timedelta(hours=24, minutes=1)).isoformat()}}
        answer = await admin.post(f"{ALL}/{integration}/redeliver", body)
        assert answer.status == 409
        assert "EDW_EVENT_RETENTION" in answer.errors[0]["detail"]
        assert (now - timedelta(days=1)).isoformat(timespec="minutes")[:15] in answer.errors[0]["detail"]
    assert await scene.counter("reopened") == 0
    all_of_it = (now - timedelta(days=4)).isoformat()
    assert counts(await redeliver(admin, integration, from_=all_of_it, partial=True, dry_run=True)) == {"reopened": 1}
    within = (now - timedelta(hours=23, minutes=59)).isoformat()
    assert counts(await redeliver(admin, integration, from_=within)) == {"reopened": 1}


async def test_what_a_disabled_integration_is_owed_anew_waits_until_it_is_enabled(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    jobs = await ended(scene, integration, Verdict.FAILED, "e-1", "e-2")
    await admin.put(f"{ALL}/{integration}", {"data": {"enabled": False}})
    assert counts(await redeliver(admin, integration)) == {"reopened": 2}
    assert await scene.claim(integration) == []
    await consistent(scene.ledger)
    await admin.put(f"{ALL}/{integration}", {"data": {"enabled": True}})
    assert {claim.job_id for claim in await scene.claim(integration)} == set(jobs)


async def test_what_is_redelivered_is_paced_by_the_lanes_cap(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    jobs = await ended(scene, integration, Verdict.FAILED, *(f"e-{n}" for n in range(30)))
    await redeliver(admin, integration)
    paced = await scene.another(lane_cap=4)
    assert len(await scene.claim(integration, by=paced)) == 4
    assert await scene.claim(integration, by=paced) == []
    assert len(jobs) == 30


# What was missed


async def observed(scene: LedgerScene, *events: str, by: tuple[str, ...] = ()) -> list[str]:
    """Events that were observed, by some integrations or by nobody; answers their references."""
    stored = await scene.publish(*events)
    await scene.open(stored, *by)
    return [each.ref for each in stored]


async def test_what_came_while_it_was_disabled_is_owed_once_it_is_asked_for(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    had = await observed(scene, "before", by=(integration,))
    await settle_all(scene, integration, Verdict.SUCCEEDED)
    await admin.put(f"{ALL}/{integration}", {"data": {"enabled": False}})
    missed = await observed(scene, "m-1", "m-2")
    await admin.put(f"{ALL}/{integration}", {"data": {"enabled": True}})
    assert counts(await redeliver(admin, integration, dry_run=True)) == {}

    dry = await redeliver(admin, integration, missing=True, dry_run=True)
    assert await scene.claim(integration) == []
    done = await redeliver(admin, integration, missing=True)

    assert counts(dry) == counts(done) == {"opened": 2}
    claims = await scene.claim(integration)
    assert {claim.event_ref for claim in claims} == set(missed)
    assert {claim.job_id for claim in claims} == {job_id(ref, integration) for ref in missed}
    assert had[0] not in {claim.event_ref for claim in claims}
    # Not twice, whatever the key.
    assert counts(await redeliver(admin, integration, missing=True)) == {}
    for claim in claims:
        await scene.settle(claim, Verdict.SUCCEEDED)
    assert counts(await redeliver(admin, integration, missing=True)) == {}


async def test_a_new_integration_is_owed_what_came_before_it_and_only_what_it_observes(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    await observed(scene, "e-1", "e-2", by=(integration,))
    newcomer = (await admin.create())["id"]
    elsewhere = (await admin.create(observes=["order.created"]))["id"]
    assert counts(await redeliver(admin, newcomer, missing=True)) == {"opened": 2}
    assert counts(await redeliver(admin, elsewhere, missing=True)) == {}
    assert len(await scene.claim(newcomer)) == 2
    history = (await admin.get("/v2/events/e-1")).data
    assert sorted(job["relationships"]["integration"]["data"]["id"] for job in history["jobs"]) == sorted(
        [integration, newcomer]
    )


async def test_what_is_still_in_the_inbox_is_left_to_its_observation(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    waiting = await scene.publish("waits")
    await observed(scene, "missed")
    assert counts(await redeliver(admin, integration, missing=True, dry_run=True)) == {"opened": 1}
    assert counts(await redeliver(admin, integration, missing=True)) == {"opened": 1}
    await scene.open(waiting, integration)
    claims = await scene.claim(integration)
    assert sorted(claim.event.event.id for claim in claims if claim.event) == ["missed", "waits"]


async def test_missed_events_are_chosen_by_when_they_were_accepted(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    refs = await observed(scene, "e-0", "e-1", "e-2")
    begin = await inspection.redis_time(scene.ledger) - 3_600_000
    await surgery.date_events(scene.ledger, SCOPE, {ref: begin + n * 60_000 for n, ref in enumerate(refs)})
    times = {"from_": rfc3339(begin + 60_000), "to": rfc3339(begin + 60_000)}
    assert counts(await redeliver(admin, integration, missing=True, **times)) == {"opened": 1}
    assert [claim.event_ref for claim in await scene.claim(integration)] == [refs[1]]


async def test_failed_jobs_and_missed_events_may_be_asked_for_together(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    await ended(scene, integration, Verdict.FAILED, "failed")
    await observed(scene, "missed")
    assert counts(await redeliver(admin, integration, missing=True, dry_run=True)) == {"reopened": 1, "opened": 1}
    assert counts(await redeliver(admin, integration, missing=True)) == {"reopened": 1, "opened": 1}


async def test_what_was_missed_waits_where_the_integration_is_disabled_still(
    admin: Client, scene: LedgerScene, integration: str
) -> None:
    await admin.put(f"{ALL}/{integration}", {"data": {"enabled": False}})
    await observed(scene, "missed")
    assert counts(await redeliver(admin, integration, missing=True)) == {"opened": 1}
    assert await scene.claim(integration) == []
    await consistent(scene.ledger)
    await admin.put(f"{ALL}/{integration}", {"data": {"enabled": True}})
    assert len(await scene.claim(integration)) == 1


# More than one call does


Go = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def to_the_end(admin: Client, integration: str) -> Go:
    """Repeats a redelivery with its cursor and its id until it is complete."""

    async def go(**attributes: Any) -> list[dict[str, Any]]:
        found = [await redeliver(admin, integration, **attributes)]
        while not found[-1]["complete"]:
            last = found[-1]
            found.append(await redeliver(admin, integration, last["id"], cursor=last["cursor"], **attributes))
        assert {each["id"] for each in found} == {found[0]["id"]}
        return found

    return go


async def test_a_call_does_its_share_and_the_cursor_goes_on_where_it_stopped(
    scene: LedgerScene, integration: str, to_the_end: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of these were opened in the same millisecond, which the cursor must distinguish."""
    failed = await ended(scene, integration, Verdict.FAILED, *(f"e-{n}" for n in range(9)))
    kept = await ended(scene, integration, Verdict.SUCCEEDED, "kept")
    missed = await observed(scene, *(f"m-{n}" for n in range(5)))
    monkeypatch.setattr("worker.ledger.lanes.reopening.MAX_JOBS_PER_CALL", 2)
    monkeypatch.setattr("worker.ledger.inspection.event_history.MAX_JOBS_PER_CALL", 2)
    monkeypatch.setattr("worker.integrations.redelivery.CHANGED_MOST", 1)

    dry = await to_the_end(missing=True, dry_run=True)
    done = await to_the_end(missing=True)

    assert [counts(each) for each in dry] == [counts(each) for each in done]
    assert sum(each["reopened"] for each in done) == 9
    assert sum(each["opened"] for each in done) == 5
    assert max(each["reopened"] + each["opened"] for each in done) == 2
    monkeypatch.undo()
    claims = await settle_all(scene, integration, Verdict.SUCCEEDED)
    expected = {*failed, *(job_id(ref, integration) for ref in missed)}
    assert sorted(claim.job_id for claim in claims) == sorted(expected)
    assert kept[0] not in expected


async def test_a_call_that_only_looks_stops_too_and_goes_on(
    scene: LedgerScene, integration: str, to_the_end: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among many that are of another state."""
    await ended(scene, integration, Verdict.SUCCEEDED, *(f"s-{n}" for n in range(6)))
    await ended(scene, integration, Verdict.FAILED, "failed")
    monkeypatch.setattr("worker.ledger.lanes.reopening.MAX_JOBS_PER_CALL", 2)
    monkeypatch.setattr("worker.integrations.redelivery.LOOKED_AT_MOST", 3)
    found = await to_the_end()
    assert len(found) == 2
    assert [counts(each) for each in found] == [{}, {"reopened": 1}]


@pytest.mark.parametrize("batch", [1, 100])
async def test_a_backlog_that_is_full_takes_the_rest_once_there_is_room(
    serve: Serve, scene: LedgerScene, admin: Client, integration: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await serve(lane_backlog=4)
    small = api.client(admin.token)
    await ended(scene, integration, Verdict.FAILED, "failed")
    missed = await observed(scene, *(f"m-{n}" for n in range(5)))
    monkeypatch.setattr("worker.ledger.inspection.event_history.MAX_JOBS_PER_CALL", batch)

    dry = await redeliver(small, integration, missing=True, dry_run=True)
    done = await redeliver(small, integration, missing=True)

    # A dry run reports the whole, or a caller who repeats it until it is complete would do so for ever.
    assert (counts(dry), dry["complete"]) == ({"reopened": 1, "opened": 5}, True)
    assert (counts(done), done["complete"]) == ({"reopened": 1, "opened": 3}, False)
    # The lane is full as yet.
    again = await redeliver(small, integration, done["id"], missing=True, cursor=done["cursor"])
    assert (counts(again), again["complete"]) == ({}, False)
    first = await settle_all(scene, integration, Verdict.SUCCEEDED)
    assert len(first) == 4
    rest = await redeliver(small, integration, done["id"], missing=True, cursor=done["cursor"])
    assert (counts(rest), rest["complete"]) == ({"opened": 2}, True)
    claims = [*first, *await settle_all(scene, integration, Verdict.SUCCEEDED)]
    assert {claim.event_ref for claim in claims} >= set(missed)


@pytest.mark.parametrize("batch", [2, 200])
async def test_a_backlog_that_is_full_reopens_the_rest_once_there_is_room(
    serve: Serve, scene: LedgerScene, admin: Client, integration: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await serve(lane_backlog=2)
    small = api.client(admin.token)
    failed = await ended(scene, integration, Verdict.FAILED, *(f"e-{n}" for n in range(4)))
    monkeypatch.setattr("worker.ledger.lanes.reopening.MAX_JOBS_PER_CALL", batch)

    dry = await redeliver(small, integration, dry_run=True)
    done = await redeliver(small, integration)
    assert (counts(dry), dry["complete"], dry["full"]) == ({"reopened": 4}, True, False)
    assert (counts(done), done["complete"], done["full"]) == ({"reopened": 2}, False, True)
    (waits, _) = [job for job in failed if (await scene.job(job)).state is JobState.FAILED]
    refused = await small.post(f"{ALL}/{integration}/jobs/{waits}/redeliver")
    assert (refused.status, "EDW_LANE_BACKLOG" in refused.errors[0]["detail"]) == (409, True)

    first = await settle_all(scene, integration, Verdict.SUCCEEDED)
    rest = await redeliver(small, integration, done["id"], cursor=done["cursor"])
    assert (counts(rest), rest["complete"], rest["full"]) == ({"reopened": 2}, True, False)
    claims = [*first, *await settle_all(scene, integration, Verdict.SUCCEEDED)]
    assert sorted(claim.job_id for claim in claims) == sorted(failed)


# What is asked for wrongly


@pytest.mark.parametrize(
    ("attributes", "pointer", "words"),
    [
        ({"state": "done"}, "/data/state", "pending, succeeded, failed, cancelled"),
        ({"state": ["failed"]}, "/data/state", "expected one of"),
        ({"state": None}, "/data/state", "expected one of"),
        ({"from": "yesterday"}, "/data/from", "RFC 3339"),
        ({"from": "2026-11-24T07:00:00"}, "/data/from", "RFC 3339"),
        ({"to": 5}, "/data/to", "RFC 3339"),
        ({"to": None}, "/data/to", "RFC 3339"),
        ({"from": "2999-01-01T00:00:00Z"}, "/data/from", "not after"),
        ({"missing": "yes"}, "/data/missing", "true or false"),
        ({"dry_run": 1}, "/data/dry_run", "true or false"),
        ({"cursor": "nonsense"}, "/data/cursor", "cursor of an earlier answer"),
        ({"cursor": "jobs-1-2-3-x"}, "/data/cursor", "cursor of an earlier answer"),
        ({"cursor": f"jobs-{'9' * 16}-"}, "/data/cursor", "cursor of an earlier answer"),
        ({"cursor": 5}, "/data/cursor", "cursor of an earlier answer"),
        ({"cursor": "events-1-"}, "/data/missing", "as in the call that returned this cursor"),
        ({"states": "failed"}, "/data/states", "is none of"),
        ({"fr/om": "x"}, "/data/fr~1om", "is none of"),
    ],
)
async def test_what_is_wrong_with_a_redelivery_is_named_and_nothing_is_done(
    admin: Client, scene: LedgerScene, integration: str, attributes: dict[str, Any], pointer: str, words: str
) -> None:
    await ended(scene, integration, Verdict.FAILED, "e-1")
    answer = await admin.post(f"{ALL}/{integration}/redeliver", {"data": attributes})
    assert answer.status == 422, answer.raw
    assert answer.pointers == [pointer]
    assert words in answer.errors[0]["detail"]
    assert await scene.counter("reopened") == 0


@pytest.mark.parametrize("query", ["dryrun=true", "dry-run=true", "state=failed&dry_Run=true", "from_=2026-01-01"])
async def test_a_parameter_that_is_none_is_refused_and_nothing_is_done(
    admin: Client, scene: LedgerScene, integration: str, query: str
) -> None:
    await ended(scene, integration, Verdict.FAILED, "e-1")
    answer = await admin.post(f"{ALL}/{integration}/redeliver?{query}")
    assert answer.status == 400, answer.raw
    assert answer.errors[0]["source"] == {"parameter": query.rpartition("&")[2].partition("=")[0]}
    assert "dry_run" in answer.errors[0]["detail"]
    assert await scene.counter("reopened") == 0


async def test_several_problems_have_an_error_each(admin: Client, integration: str) -> None:
    body = {"data": {"state": "done", "from": "x", "to": "y", "missing": 1, "dry_run": 2, "cursor": "z"}}
    answer = await admin.post(f"{ALL}/{integration}/redeliver", body)
    assert sorted(answer.pointers) == [f"/data/{name}" for name in sorted(body["data"])]


@pytest.mark.parametrize("body", [[], 5, "x", {"data": []}, {"data": "x"}, {"data": None}])
async def test_a_redelivery_that_is_no_object_is_refused(admin: Client, integration: str, body: Any) -> None:
    answer = await admin.post(f"{ALL}/{integration}/redeliver", body)
    assert answer.status == 422
    assert answer.pointers == ["/data"]


async def test_a_redelivery_that_is_no_json_is_refused(admin: Client, integration: str) -> None:
    path = f"{ALL}/{integration}/redeliver"
    assert (await admin.post(path, b"{")).status == 400
    assert (await admin.post(path, b"state=failed", {"Content-Type": "text/plain"})).status == 415


@pytest.mark.parametrize("where", ["redeliver", "jobs/{job}/redeliver"])
async def test_a_key_may_be_any_text_of_255_characters(
    admin: Client, scene: LedgerScene, integration: str, where: str
) -> None:
    (job,) = await ended(scene, integration, Verdict.FAILED, "e-1")
    path = f"{ALL}/{integration}/{where.format(job=job)}"
    long = await admin.post(path, headers={"Idempotency-Key": "x" * 256})
    assert long.status == 400
    assert "255" in long.errors[0]["detail"]
    assert await scene.counter("reopened") == 0
    for key in ("x" * 255, "schlüssel", "a/b:c{d}"):
        answer = await admin.post(path, headers={"Idempotency-Key": key})
        assert answer.status == 202, answer.raw


@pytest.mark.parametrize("where", ["redeliver", "jobs/{job}/redeliver"])
async def test_a_key_that_is_no_text_is_answered_in_shape(
    api: Api, admin: Client, scene: LedgerScene, integration: str, where: str
) -> None:
    (job,) = await ended(scene, integration, Verdict.FAILED, "e-1")
    host, port = api.url.removeprefix("http://").split(":")
    reading, writing = await asyncio.open_connection(host, int(port))
    path = f"{ALL}/{integration}/{where.format(job=job)}"
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {admin.token}\r\nConnection: close\r\n"
    writing.write(head.encode() + b"Content-Length: 0\r\nIdempotency-Key: \xff\r\n\r\n")
    answer = await reading.read()
    writing.close()
    await writing.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"Idempotency-Key" in answer
    assert await scene.counter("reopened") == 0


# All of it


async def test_what_failed_and_what_was_missed_reaches_the_receiver_and_the_ledger_balances(
    api: Api, admin: Client, receiver: Receiver, start_worker: StartWorker
) -> None:
    created = await admin.create(configuration={"url": receiver.url})
    path = f"{ALL}/{created['id']}"
    worker = await start_worker(EDW_RETRY_SCHEDULE="50ms").ready()

    async def publish(event: str) -> None:
        answer = await admin.post("/v2/events", {"data": {"id": event, "type": "order.paid", "data": {"id": event}}})
        assert answer.status == 202

    async def jobs(state: str) -> list[dict[str, Any]]:
        answer: Answer = await admin.get(f"{path}/jobs", filtered=f"eq(state,{state})")
        found: list[dict[str, Any]] = answer.data
        return found

    receiver.answers = [500, 500]
    await publish("failed")
    await eventually(lambda: jobs("failed"), "the job has failed")
    await admin.put(path, {"data": {"enabled": False}})
    await publish("missed")

    async def is_observed() -> bool:
        return bool((await admin.get("/v2/events/missed")).data["state"] == "observed")

    await eventually(is_observed, "the event is observed")
    await admin.put(path, {"data": {"enabled": True}})

    done = await redeliver(admin, created["id"], missing=True)
    assert counts(done) == {"reopened": 1, "opened": 1}
    await eventually(receiver.got(4), "both are delivered")

    async def both() -> bool:
        return len(await jobs("succeeded")) == 2

    await eventually(both, "both are settled")
    last = {each.body["id"]: each.body["attempt"] for each in receiver.received}
    assert last == {"failed": 3, "missed": 1}
    assert await worker.stop() == 0
    await consistent(api.ledger)
