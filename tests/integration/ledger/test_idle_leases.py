"""Idle leases: leases of a process that has nothing of them in flight. Were they begun, or did it never get them?"""

import asyncio
from typing import Any

import pytest

from tests.ledger import raw
from tests.ledger.scene import LedgerScene, replies_lost
from worker.domain.claim import Claim
from worker.ledger import LedgerUnavailable, Verdict

LANE = "i-1"


@pytest.fixture
async def owing(scene: LedgerScene) -> LedgerScene:
    """One due job; and sweeps that have gone on all the while."""
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    await scene.die()
    return scene


async def leased_job(scene: LedgerScene) -> str:
    """The one job that the ledger holds to be in flight here."""
    (job,) = await scene.ledger.fleet.leases()
    return job


async def reported(scene: LedgerScene, job: str) -> tuple[int, int, int]:
    """Its attempts, how often it was lost, and the attempts that the ledger has counted."""
    found = await scene.job(job)
    return found.attempts, found.lost, await scene.counter("attempts")


@pytest.mark.parametrize("call", ["claim", "open"])
async def test_what_a_process_was_never_given_is_given_back_and_wastes_no_attempt(
    scene: LedgerScene, call: str
) -> None:
    await scene.register(LANE)
    stored = await scene.publish("e-1")
    if call == "claim":
        await scene.open(stored, LANE)
    # Oftener than a job may be lost before it is taken for what kills workers.
    for _ in range(4):
        with replies_lost(scene.ledger), pytest.raises(LedgerUnavailable):
            await (scene.open(stored, LANE, room=1) if call == "open" else scene.claim(LANE))
        call = "claim"
        job = await leased_job(scene)
        await scene.die()
        assert await scene.ledger.fleet.seize([job]) == []
        assert await reported(scene, job) == (0, 0, 0)
        assert await scene.ledger.fleet.leases() == []
    assert (await scene.ledger.logs.of_job(job, 0, 10)).items == []
    assert [each.id for each in (await scene.ledger.fleet.sweep()).lanes] == [LANE], "it is due now"
    (claim,) = await scene.claim(LANE)
    assert (claim.attempt, claim.lost) == (1, 0)


async def test_what_a_process_got_and_let_go_is_settled_as_lost(owing: LedgerScene) -> None:
    """A bug of ours ended it: whether the receiver has it, nobody knows."""
    (claim,) = await owing.claim(LANE)
    assert await owing.ledger.fleet.seize([claim.job_id]) == [claim]
    assert await owing.settle(claim, Verdict.RETRY, lost=True) == "settled"
    # A job that this process does not hold, or holds no more, is left alone.
    dead = await owing.another()
    (again,) = await owing.claim(LANE, by=dead)
    assert await owing.ledger.fleet.seize([claim.job_id, "no-such-job"]) == []
    await owing.settle(again, Verdict.SUCCEEDED, by=dead)
    assert await dead.fleet.seize([claim.job_id]) == []


async def test_what_the_dead_had_is_settled_as_lost_though_the_reply_that_reported_it_was_lost(
    owing: LedgerScene,
) -> None:
    """Also where the dead one's call had the number of one of this process whose reply was lost."""
    dead = await owing.another()
    with replies_lost(owing.ledger), pytest.raises(LedgerUnavailable):
        await owing.claim("no lane")
    # Opening was this process's first call.
    await owing.claim("no lane", by=dead)
    await owing.claim(LANE, by=dead)
    await owing.die(dead)
    with replies_lost(owing.ledger), pytest.raises(LedgerUnavailable):
        await owing.ledger.fleet.seize()
    job = await leased_job(owing)
    assert [claim.job_id for claim in await owing.ledger.fleet.seize([job])] == [job]


async def test_what_a_call_under_way_may_bring_is_left_alone(
    owing: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, done, answer = raw.connection(owing.ledger).run, asyncio.Event(), asyncio.Event()

    async def late(name: str, **arguments: Any) -> Any:
        reply = await run(name, **arguments)
        done.set()
        await answer.wait()
        return reply

    with monkeypatch.context() as patched:
        patched.setattr(raw.connection(owing.ledger), "run", late)
        claiming = asyncio.create_task(owing.claim(LANE))
        await done.wait()
    job = await leased_job(owing)
    assert await owing.ledger.fleet.seize([job]) == []
    assert await owing.ledger.fleet.leases() == [job]
    answer.set()
    (claim,) = await claiming
    assert await owing.settle(claim, Verdict.SUCCEEDED) == "settled"


async def test_a_call_that_nobody_waits_for_any_more_was_not_answered(
    owing: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, done = raw.connection(owing.ledger).run, asyncio.Event()

    async def never(name: str, **arguments: Any) -> Any:
        await run(name, **arguments)
        done.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(raw.connection(owing.ledger), "run", never)
        claiming = asyncio.create_task(owing.claim(LANE))
        await done.wait()
        claiming.cancel()
        await asyncio.wait([claiming])
    job = await leased_job(owing)
    assert await owing.ledger.fleet.seize([job]) == []
    assert await reported(owing, job) == (0, 0, 0)


async def test_a_job_that_was_leased_again_while_it_was_looked_at_is_left_alone(
    owing: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replies_lost(owing.ledger), pytest.raises(LedgerUnavailable):
        await owing.claim(LANE)
    job = await leased_job(owing)
    hashes, new = raw.connection(owing.ledger).hashes, list[Claim]()

    async def overtaken(*given: Any) -> Any:
        found = await hashes(*given)
        monkeypatch.undo()
        assert await owing.ledger.fleet.seize([job]) == []
        new.extend(await owing.claim(LANE))
        return found

    monkeypatch.setattr(raw.connection(owing.ledger), "hashes", overtaken)
    assert await owing.ledger.fleet.seize([job]) == []
    (claim,) = new
    assert await owing.settle(claim, Verdict.SUCCEEDED) == "settled"
