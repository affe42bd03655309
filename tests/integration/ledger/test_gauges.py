"""What the metrics report of the ledger: by one process at a time, each job in one place, and at what it costs."""

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.inspection import commands
from tests.ledger.planting import plant_future_jobs
from tests.ledger.scene import HOUR, LedgerScene
from tests.samples import an_integration
from worker.ledger import Ledger, Verdict
from worker.ledger.inspection.totals import LANES_PER_CALL, LaneTotals, LedgerTotals
from worker.ledger.policy import CircuitPolicy

#: Longer than any test (seconds).
HOLD = 600.0


async def gauges(scene: LedgerScene) -> LedgerTotals:
    found = (await scene.ledger.totals.sample(HOLD)).gauges
    assert found is not None
    return found


async def test_one_process_at_a_time_reads_them(scene: LedgerScene) -> None:
    other = await scene.another()
    assert (await scene.ledger.totals.sample(HOLD)).gauges is not None
    assert (await other.totals.sample(HOLD)).gauges is None
    assert (await scene.ledger.totals.sample(HOLD)).gauges is not None, "it goes on"
    await scene.ledger.totals.release()
    assert (await other.totals.sample(HOLD)).gauges is not None
    assert (await scene.ledger.totals.sample(HOLD)).gauges is None


async def test_another_takes_over_when_the_one_that_read_them_is_silent(scene: LedgerScene) -> None:
    other = await scene.another()
    assert (await scene.ledger.totals.sample(0.001)).gauges is not None
    while (await other.totals.sample(HOLD)).gauges is None:
        pass
    assert (await scene.ledger.totals.sample(HOLD)).gauges is None


async def test_every_caller_gets_the_redis_servers_time(scene: LedgerScene) -> None:
    other = await scene.another()
    await scene.ledger.totals.sample(HOLD)
    before = await raw.now(scene.ledger)
    sample = await other.totals.sample(HOLD)
    after = await raw.now(scene.ledger)
    assert before <= sample.redis_time * 1000 < after + 1
    assert sample.asked <= sample.answered


async def test_each_pending_job_is_in_one_place(scene: LedgerScene) -> None:
    """The place says what the job waits for; and invariant 1 holds in every sample."""
    policy = CircuitPolicy(failures=1, cools=(int(HOUR * 1000),))
    ledger = await scene.another(circuit=policy, lane_cap=2)
    scene = LedgerScene(ledger, scene.another, scene.outstanding)
    await scene.register("due", "full", "open", "asked", "later", "held")
    await scene.register("limited", rate_limit=0.001)
    for lane in ("due", "full", "open", "asked", "later", "held", "limited"):
        await scene.owe(lane, *(f"{lane}-{n}" for n in range(4)))
    assert len(await scene.claim("full")) == 2
    assert len(await scene.claim("limited")) == 1
    for lane, how in (("open", {"healthy": False}), ("asked", {"rest": HOUR}), ("later", {})):
        (claim,) = await scene.claim(lane, room=1)
        await scene.settle(claim, Verdict.RETRY, delay=HOUR, **how)
    await scene.ledger.integrations.put(an_integration("held", enabled=False))
    await scene.publish("in the inbox")

    found = await gauges(scene)
    lanes = found.lanes
    assert (lanes.due, lanes.capped, lanes.resting, lanes.held, lanes.scheduled) == (4 + 3, 2 + 3, 3 + 3, 4, 3)
    assert (found.leased, found.pending) == (2 + 1, 28)
    assert lanes.due + lanes.capped + lanes.resting + lanes.held + lanes.scheduled + found.leased == found.pending
    assert (lanes.closed, lanes.open, lanes.half) == (6, 1, 0)
    assert (found.inbox, found.counters["accepted"], found.counters["matched"]) == (1, 29, 28)
    assert found.counters["opened"] == found.pending
    assert found.workers == 1
    assert 0 <= lanes.oldest_due < HOUR * 1000
    assert found.memory_used > 0


async def test_the_oldest_due_job_is_one_that_may_be_tried(scene: LedgerScene) -> None:
    await scene.register("resting", "ready")
    await scene.owe("resting", "e-1")
    (claim,) = await scene.claim("resting")
    await scene.settle(claim, Verdict.RETRY, rest=HOUR)
    found = (await gauges(scene)).lanes
    assert (found.resting, found.oldest_due) == (1, -1)
    await scene.owe("ready", "e-2")
    found = (await gauges(scene)).lanes
    assert (found.resting, found.due) == (1, 1)
    assert found.oldest_due >= 0


async def test_an_empty_ledger_has_gauges_too(scene: LedgerScene) -> None:
    found = await gauges(scene)
    assert (found.inbox, found.inbox_age, found.pending, found.leased, found.workers) == (0, 0, 0, 0, 0)
    assert found.lanes.oldest_due == -1


@pytest.mark.parametrize("jobs", [1, 20])
async def test_they_cost_what_has_work_and_no_call_looks_at_more_than_some_lanes(ledger: Ledger, jobs: int) -> None:
    scene = LedgerScene(ledger, lambda: ledger)
    lanes = 3 * LANES_PER_CALL
    await plant_future_jobs(scene.ledger, lanes, jobs)
    await gauges(scene)
    assert (await gauges(scene)).lanes.scheduled == lanes * jobs
    # A lane costs three commands, however many jobs it has; the rest is for the ledger as a whole.
    assert 3 * lanes < await commands(scene.ledger, lambda: gauges(scene)) < 3 * lanes + 60


async def test_a_process_that_is_not_asked_for_them_costs_next_to_nothing(
    ledger: Ledger, redis_server: RedisServer
) -> None:
    scene, other = LedgerScene(ledger, lambda: ledger), Ledger(redis_server.url)
    await other.open()
    await plant_future_jobs(ledger, 300, 1)
    await gauges(scene)
    # The call itself, and the two or three commands that every script's clock takes.
    assert await commands(other, lambda: other.totals.sample(HOLD)) <= 5
    await other.close()


def test_totals_add_up() -> None:
    both = LaneTotals(due=1, oldest_due=5, open=1).plus(LaneTotals(due=2, oldest_due=-1, half=1))
    assert both == LaneTotals(due=3, oldest_due=5, open=1, half=1)
