"""The times at which a process serves a lane that has no ready job yet."""

from typing import Any

import pytest

from tests.ledger.scene import LedgerScene, settlement
from tests.samples import an_integration
from worker.domain.job import job_id
from worker.ledger import Verdict
from worker.ledger.lanes.claims import Later, Opening
from worker.ledger.policy import MAX_JOBS_PER_CALL

LANE = "i-1"
#: Seconds; longer than any step of a test takes.
LONG = 50.0


async def settled(scene: LedgerScene, verdict: Verdict, **how: Any) -> Later:
    """Return the times in the answer to a settlement of the lane's first job."""
    (claim,) = await scene.claim(LANE, room=1)
    return (await scene.ledger.jobs.settle([settlement(claim, verdict, **how)])).later


async def test_a_used_up_rate_limit_names_the_time_of_the_next_attempt_to_the_process_that_uses_it(
    scene: LedgerScene,
) -> None:
    await scene.ledger.integrations.put(an_integration(rate_limit=1 / LONG))
    stored = await scene.publish("e-1", "e-2", "e-3")
    opened = await scene.ledger.jobs.open([(each, [Opening(job_id(each.ref, LANE), LANE)], True) for each in stored], 1)
    claimed = await scene.ledger.jobs.claim([LANE], 10)

    assert len(opened.claims) == 1
    assert list(claimed.claims) == []
    for later in (opened.later, claimed.later):
        assert list(later) == [LANE]
        assert 0 < later[LANE] <= LONG


async def test_a_fast_rate_refills_for_several_attempts_before_the_lane_is_served_again(scene: LedgerScene) -> None:
    scene.ledger = await scene.another(lane_cap=1000)
    await scene.ledger.integrations.put(an_integration(rate_limit=1000))
    for part in ("a", "b"):
        await scene.owe(LANE, *(f"{part}-{n}" for n in range(75)))
    claimed = await scene.ledger.jobs.claim([LANE], MAX_JOBS_PER_CALL)
    while not claimed.later:  # a slow machine may refill the bucket meanwhile
        claimed = await scene.ledger.jobs.claim([LANE], MAX_JOBS_PER_CALL)
        assert claimed.claims, "neither jobs nor a time"
    assert claimed.later == {LANE: 0.05}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"verdict": Verdict.RETRY, "delay": LONG}, id="a retry"),
        pytest.param({"verdict": Verdict.RETRY, "delay": 0.0, "rest": LONG}, id="Retry-After"),
    ],
)
async def test_a_settlement_names_the_time_of_the_next_attempt(scene: LedgerScene, how: dict[str, Any]) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    later = await settled(scene, **how)
    assert later == {LANE: LONG}


async def test_a_time_far_ahead_is_left_to_the_sweeps(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    assert await settled(scene, Verdict.RETRY, delay=61.0) == {}
    assert 10_000 < (await scene.ledger.fleet.sweep()).wait <= 61_000


async def test_a_lane_without_jobs_without_room_or_on_hold_has_no_time(scene: LedgerScene) -> None:
    scene.ledger = await scene.another(lane_cap=1)
    await scene.register(LANE, "i-2", "i-3")
    await scene.owe(LANE, "e-1", "e-2")
    await scene.owe("i-2", "e-3")
    await scene.owe("i-3", "e-4")
    await scene.disable("i-3")
    claimed = await scene.ledger.jobs.claim([LANE, "i-2", "i-3"], 10)
    assert len(claimed.claims) == 2
    assert claimed.later == {}


async def test_a_sweep_leaves_a_timed_lane_to_the_process_that_timed_it_and_takes_it_if_that_fails(
    scene: LedgerScene,
) -> None:
    await scene.register(LANE)
    await scene.owe(LANE, "e-1")
    assert await settled(scene, Verdict.RETRY, delay=LONG) == {LANE: LONG}
    found = await scene.ledger.fleet.sweep()
    assert (LONG * 1000) / 2 < found.wait <= LONG * 1000 + 200
    ((_, due),) = await scene.key("ZRANGE", f"lane:{LANE}:due", 0, -1, "WITHSCORES")
    assert float(await scene.key("ZSCORE", "lanes", LANE)) == float(due) + 200

    # A short time, and nobody claims: a sweep announces the lane.
    await scene.owe(LANE, "e-2")
    assert await settled(scene, Verdict.RETRY, delay=0.001) != {}
    while not (found := await scene.ledger.fleet.sweep()).lanes:
        assert found.wait <= 200
    assert [each.id for each in found.lanes] == [LANE]
