"""The audit of what is owed: it finds every accident, says nothing of what is well, and mends what it finds."""

import pytest

from tests.ledger import raw, surgery
from tests.ledger.scene import HOUR, LedgerScene
from tests.ledger.surgery import age_event, list_jobs
from tests.samples import an_integration
from worker.domain.job import JobState
from worker.ledger import Verdict
from worker.ledger.inspection import audit as audit_module
from worker.ledger.inspection.audit import Audit, AuditReport

LANE = "i-1"


async def audit(scene: LedgerScene, *, repair: bool = False) -> AuditReport:
    return await Audit(raw.connection(scene.ledger)).run(repair=repair)


@pytest.fixture
async def busy(scene: LedgerScene) -> LedgerScene:
    """A bit of everything: due now and later, in flight, ended, held, an event in the inbox."""
    await scene.register(LANE, "i-2", "i-3")
    await scene.owe(LANE, *(f"e-{n}" for n in range(4)))
    await scene.owe("i-2", "later")
    await scene.owe("i-3", "held")
    first, second, third = await scene.claim(LANE, room=3)
    await scene.settle(first, Verdict.SUCCEEDED)
    await scene.settle(second, Verdict.RETRY, delay=HOUR)
    (later,) = await scene.claim("i-2")
    await scene.settle(later, Verdict.RETRY, delay=HOUR)
    await scene.ledger.integrations.put(an_integration("i-3", paused=True))
    await scene.publish("in the inbox")
    assert third.attempt == 1
    return scene


async def test_a_ledger_that_is_well_has_no_problems(busy: LedgerScene) -> None:
    report = await audit(busy)
    assert report.is_clean, report
    assert (report.jobs, report.lanes, report.events) == (5, 3, 7)


async def mended(scene: LedgerScene, *kinds: str, forgotten: bool = False) -> None:
    """The audit finds something, mends just these kinds, and finds nothing more; `forgotten`: after the next sweep."""
    assert not (await audit(scene)).is_clean
    assert set((await audit(scene, repair=True)).counts) == set(kinds)
    if forgotten:
        assert await scene.ledger.fleet.forget() == 1
    assert (await audit(scene)).is_clean


async def reaped(scene: LedgerScene, lane: str = LANE) -> None:
    """What was handed to the reaper is settled as lost, with its log, and is owed still."""
    await scene.die()
    for claim in await scene.ledger.fleet.seize():
        await scene.settle(claim, Verdict.RETRY, lost=True)
        assert not (await scene.log(claim.job_id, claim.attempt)).succeeded
        assert (await scene.state(claim.job_id))[0] is JobState.PENDING
        assert claim.integration_id == lane


async def test_a_job_that_is_nowhere_is_due_again(scene: LedgerScene) -> None:
    await scene.register(LANE)
    (job,) = await scene.owe(LANE, "e-1")
    await scene.key("ZREM", f"lane:{LANE}:due", job)
    await surgery.forget_backlog(scene.ledger, LANE)
    await scene.key("ZREM", "lanes", LANE)
    await mended(scene, "nowhere")
    assert [claim.job_id for claim in await scene.claim(LANE)] == [job]


@pytest.mark.parametrize("accident", ["lane forgot it", "owner forgot it", "nobody named", "owner is not known"])
async def test_a_lease_that_nobody_would_reap_is_reaped_and_leaves_its_log(scene: LedgerScene, accident: str) -> None:
    other = await scene.another()
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    (claim,) = await scene.claim(LANE, by=other)
    match accident:
        case "lane forgot it":
            await scene.key("SREM", f"lane:{LANE}:leased", claim.job_id)
            await mended(scene, "leased_to_nobody")
            await scene.die(other)
        case "owner forgot it":
            await scene.key("SREM", f"owner:{other.owner}:leases", claim.job_id)
            await mended(scene, "leased_to_nobody")
            await scene.die(other)
        case "nobody named":
            await scene.key("HSET", f"job:{claim.job_id}", "owner", "")
            await scene.key("SREM", f"owner:{other.owner}:leases", claim.job_id)
            await mended(scene, "leased_to_nobody")
        case _:
            await scene.key("ZREM", "owners", other.owner)
            await mended(scene, "owner_not_reaped")
    await reaped(scene)
    assert [again.attempt for again in await scene.claim(LANE)] == [2]


async def test_a_job_both_due_and_in_flight_is_tried_once_more_and_no_attempt_lacks_its_log(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    (claim,) = await scene.claim(LANE, by=other)
    await scene.key("ZADD", f"lane:{LANE}:due", 1, claim.job_id)
    await scene.key("ZADD", "lanes", 1, LANE)
    report = await audit(scene, repair=True)
    assert "due_and_leased" in report.counts
    assert (await audit(scene)).is_clean
    await scene.die(other)
    await reaped(scene)


async def test_a_lease_that_another_process_has_too_is_its_owners_alone(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    (claim,) = await scene.claim(LANE)
    await scene.key("SADD", "owner:ghost:leases", claim.job_id)
    await scene.key("ZADD", "owners", 1, "ghost")
    await mended(scene, "lease_of_another")
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"


async def test_a_living_process_whose_lease_is_mended_is_not_taken_for_dead(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    (claim,) = await scene.claim(LANE)
    await scene.key("SREM", f"lane:{LANE}:leased", claim.job_id)
    await mended(scene, "leased_to_nobody")
    assert await scene.key_score("owners", scene.ledger.owner) > await raw.now(scene.ledger)
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"


async def test_a_due_job_that_names_a_process_no_longer_does(scene: LedgerScene) -> None:
    await scene.register(LANE)
    (job,) = await scene.owe(LANE, "e-1")
    await scene.key("HSET", f"job:{job}", "owner", "somebody")
    await mended(scene, "due_and_owned")


async def test_jobs_whose_record_is_gone_leave_the_balance(scene: LedgerScene) -> None:
    await scene.register(LANE)
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], LANE)
    (job,) = await scene.jobs_of(stored.ref)
    await scene.key("DEL", f"job:{job}")
    report = await audit(scene, repair=True)
    assert {"no_record", "due_not_owed", "wrong_count"} <= set(report.counts)
    assert (await audit(scene, repair=True)).counts.keys() <= {"wrong_size", "wrongly_indexed"}
    assert (await audit(scene)).is_clean
    # Redis lost it, and the balance says so.
    assert (await scene.ledger.status.read()).jobs_balance == 1
    await scene.key("HINCRBY", "counters", "opened", -1)
    await list_jobs(scene.ledger, stored.ref, [])


async def test_an_ended_job_is_neither_listed_nor_due_nor_leased(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    (claim,) = await scene.claim(LANE)
    await scene.settle(claim, Verdict.SUCCEEDED)
    await scene.key("ZADD", "pending", 1, claim.job_id)
    await scene.key("ZADD", f"lane:{LANE}:due", 1, claim.job_id)
    await scene.key("SADD", f"lane:{LANE}:leased", claim.job_id)
    await scene.key("SADD", "owner:ghost:leases", claim.job_id)
    await scene.key("ZADD", "owners", 1, "ghost")
    report = await audit(scene, repair=True)
    assert {"ended", "due_not_owed", "leased_not_owed", "lease_of_another"} <= set(report.counts)
    assert (await audit(scene)).is_clean


async def test_an_owed_job_that_is_not_listed_is_listed_again(scene: LedgerScene) -> None:
    await scene.register(LANE, "i-2")
    (job,) = await scene.owe(LANE, "e-1")
    (other,) = await scene.owe("i-2", "e-2")
    deadline = float((await scene.contents()).jobs[job]["deadline"])
    await scene.key("ZREM", "pending", job, other)
    # One is in no lane either: its event knows of it.
    await scene.key("ZREM", "lane:i-2:due", other)
    await surgery.forget_backlog(scene.ledger, "i-2")
    await scene.key("ZREM", "lanes", "i-2")
    await mended(scene, "not_listed", "nowhere")
    assert (await scene.contents()).scores["pending"][job] == deadline


async def test_lanes_are_put_where_they_belong(scene: LedgerScene) -> None:
    await scene.register(LANE, "i-2", "i-3")
    await scene.owe(LANE, "e-1")
    await scene.owe("i-2", "e-2")
    await scene.key("ZREM", "lanes", LANE)
    await scene.key("SADD", "held", "i-2")
    await scene.key("ZADD", "lanes", 1, "i-3")
    await mended(scene, "not_indexed", "wrongly_indexed")
    assert {each.id for each in (await scene.ledger.fleet.sweep()).lanes} == {LANE, "i-2"}


async def test_a_backlogs_size_is_counted_anew(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1", "e-2")
    await scene.key("HINCRBY", f"lane:{LANE}", "bytes", 1_000)
    await scene.key("INCRBY", "backlog-bytes", 1_000)
    await mended(scene, "wrong_size")


@pytest.mark.parametrize(
    ("accident", "kind"),
    [("count", "wrong_count"), ("job stays", "kept_for_ever"), ("event stays", "kept_for_ever")],
)
async def test_an_event_is_kept_as_long_as_a_job_of_it_is_owed_and_no_longer(
    scene: LedgerScene, accident: str, kind: str
) -> None:
    await scene.register(LANE)
    (stored,) = await scene.publish("e-1")
    lanes = () if accident == "event stays" else (LANE,)
    await scene.open([stored], *lanes)
    if accident == "count":
        await scene.key("HSET", f"event:{stored.ref}:progress", "open", 7)
    else:
        for claim in await scene.claim(LANE):
            await scene.settle(claim, Verdict.SUCCEEDED)
            await scene.key("HSET", f"job:{claim.job_id}", "ended_at", 1)
        await scene.key("DEL", "ended")
        await age_event(scene.ledger, stored.ref, 2 * scene.ledger.policy.event_retention)
    await mended(scene, kind, forgotten=kind == "kept_for_ever")
    assert (await scene.contents()).problems() == []
    assert await scene.is_kept(stored.ref) == (accident == "count")


async def test_an_audit_goes_through_more_than_one_call_may_touch(scene: LedgerScene) -> None:
    await scene.register(LANE)
    for start in range(0, 450, 50):
        await scene.owe(LANE, *(f"e-{n}" for n in range(start, start + 50)))
    report = await audit(scene)
    assert report.is_clean
    assert report.jobs >= 450


async def test_an_event_with_more_jobs_than_a_call_may_count_is_left_out(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.register(LANE, "i-2")
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], LANE, "i-2")
    await scene.key("HSET", f"event:{stored.ref}:progress", "open", 7)
    monkeypatch.setattr(audit_module, "JOBS_PER_EVENT", 1)
    assert (await audit(scene)).is_clean
    monkeypatch.undo()
    await mended(scene, "wrong_count")
