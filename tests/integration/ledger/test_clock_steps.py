"""The ledger on a Redis whose clock steps: time goes on, nothing owed ends, and nothing is delivered twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from tests.counterparts.fake_clock import SteppedRedisServer
from tests.counterparts.server import started
from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, dispatch_of, playing_on
from tests.samples import an_event, an_integration
from worker.domain.claim import Claim
from worker.domain.job import JobState, job_id
from worker.domain.ledger_time import HOLD_MS
from worker.ledger import Ledger, LedgerPolicy, Verdict
from worker.ledger.events.inbox import OBSERVE_TRIES

DAY = 24 * HOUR
#: A leap that is held back until something explains it, and steps that are not (seconds).
LEAP = 8 * DAY
STEPS = (-600.0, -0.5, -0.1, 30.0)


@pytest.fixture(scope="module")
def stepped_of_module() -> Iterator[SteppedRedisServer]:
    yield from started(SteppedRedisServer)


@pytest.fixture
def stepped(stepped_of_module: SteppedRedisServer) -> SteppedRedisServer:
    """An empty server whose clock a test steps."""
    stepped_of_module.clear()
    return stepped_of_module


@pytest.fixture
async def scene(stepped: SteppedRedisServer) -> AsyncIterator[LedgerScene]:
    ledger = Ledger(stepped.url, LedgerPolicy(lane_cap=10))
    await ledger.open()
    async with playing_on(ledger, stepped.url) as played:
        yield played
        assert (await played.contents()).problems(played.outstanding) == []
    await ledger.close()


async def hold_is_over(scene: LedgerScene) -> None:
    """Ten minutes have passed since the leap."""
    await scene.key("HINCRBY", "meta", "held_at", -HOLD_MS)


@pytest.mark.parametrize("step", [*STEPS, LEAP])
async def test_ledger_time_never_goes_back_and_never_stands_still(
    scene: LedgerScene, stepped: SteppedRedisServer, step: float
) -> None:
    times = [await raw.now(scene.ledger) for _ in range(50)]
    stepped.step(step)
    times += [await raw.now(scene.ledger) for _ in range(50)]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60_000 or step == 30.0
    moved = times[-1]
    async with asyncio.timeout(60):
        while await raw.now(scene.ledger) <= moved:
            pass


@pytest.mark.parametrize("step", STEPS)
async def test_a_rate_limited_lane_delivers_on_when_the_clock_steps(
    scene: LedgerScene, stepped: SteppedRedisServer, step: float
) -> None:
    await scene.register("limited", rate_limit=50)
    await scene.owe("limited", *(f"e-{n}" for n in range(20)))
    for claim in await scene.claim("limited"):
        await scene.settle(claim, Verdict.SUCCEEDED)
    stepped.step(step)
    async with asyncio.timeout(60):
        while (await scene.counter("succeeded")) < 20:
            for claim in await scene.claim("limited"):
                await scene.settle(claim, Verdict.SUCCEEDED)


async def test_a_retry_and_a_dead_workers_lease_do_not_wait_for_a_clock_that_stepped_back(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    await scene.register("i", "dead")
    await scene.owe("i", "e-1")
    (claim,) = await scene.claim("i")
    await scene.settle(claim, Verdict.RETRY, delay=0.3)
    other = await scene.another(lease=300)
    await scene.owe("dead", "e-2")
    (lost,) = await scene.claim("dead", by=other)
    stepped.step(-600)
    retried: list[Claim] = []
    seized: list[Claim] = []
    async with asyncio.timeout(60):
        while not (retried and seized):
            retried += await scene.claim("i")
            seized += await scene.ledger.fleet.seize()
    assert [each.attempt for each in retried] == [2]
    assert [each.job_id for each in seized] == [lost.job_id]


async def test_no_finished_job_of_an_event_is_opened_again_after_a_small_step_back(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    """A fan-out was cut short: the event is still in the inbox, and one of its jobs has ended."""
    await scene.register("one", "two")
    stored = await scene.publish("e-1")
    # The job's time of opening is before the event's acceptance, as any clock may have it.
    await scene.open(stored, "one", last=False)
    await scene.key("HINCRBY", f"job:{job_id(stored[0].ref, 'one')}", "opened_at", -500)
    stepped.step(-0.5)
    (claim,) = await scene.claim("one")
    await scene.settle(claim, Verdict.SUCCEEDED)
    await dispatch_of(scene.ledger).observe([stored[0].ref])
    assert await scene.state(claim.job_id) == (JobState.SUCCEEDED, "")
    assert await scene.claim("one") == []


async def test_a_leap_of_days_ends_nothing_and_takes_over_nothing(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    await scene.register("i")
    (due, late) = await scene.owe("i", "e-1", "e-2")
    other = await scene.another()
    (claim,) = await scene.claim("i", room=1, by=other)
    assert claim.job_id == due
    await scene.overdue(late)
    await scene.die(other)
    stepped.step(LEAP)
    assert await scene.ledger.fleet.expire() == 0
    assert await scene.ledger.fleet.seize() == []
    # The attempt in flight may fail meanwhile: its retry is not beyond its deadline.
    assert await scene.settle(claim, Verdict.RETRY, by=other, delay=5) == "settled"
    assert await scene.state(due) == (JobState.PENDING, "")
    assert await scene.ledger.membership.confirm() is not None
    await scene.key("ZADD", "owners", "XX", 1, other.owner)
    assert await scene.ledger.fleet.expire() > 0


async def test_nothing_is_forgotten_while_a_leap_is_held_back(scene: LedgerScene, stepped: SteppedRedisServer) -> None:
    await scene.register("i")
    await scene.owe("i", "e-1")
    (claim,) = await scene.claim("i")
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"
    stepped.step(LEAP)
    await scene.retention_passes()
    assert await scene.is_kept(claim.event_ref)
    assert await scene.ledger.membership.confirm() is not None
    await scene.retention_passes()
    assert not await scene.is_kept(claim.event_ref)


async def test_a_dead_process_is_taken_over_again_once_the_hold_is_over(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    await scene.register("i")
    (job,) = await scene.owe("i", "e-1")
    other = await scene.another()
    await scene.claim("i", by=other)
    stepped.step(LEAP)
    await scene.die(other)
    assert await scene.ledger.fleet.seize() == []
    await hold_is_over(scene)
    await scene.ledger.membership.attend("worker")
    await scene.die(other)
    (seized,) = await scene.ledger.fleet.seize()
    assert seized.job_id == job


async def test_messages_of_the_plain_queue_stay_with_their_reader_while_a_leap_is_held_back(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    reader = await scene.another()
    await raw.client(scene.ledger).lpush("edw.intake", "{}")
    batch = await reader.intake_list.take()
    await scene.die(reader)
    stepped.step(LEAP)
    assert await scene.ledger.intake_list.return_dead() == 0
    assert await reader.intake_list.accept(batch, 1, [], []) == []


async def test_no_observer_counts_as_lost_while_a_leap_is_held_back(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    other = await scene.another()
    await other.fleet.renew()
    event = an_event("e-1")
    await scene.ledger.inbox.accept([event])
    await other.inbox.load([event.ref])
    await scene.die(other)
    stepped.step(LEAP)
    for _ in range(OBSERVE_TRIES + 1):
        assert len((await scene.ledger.inbox.load([event.ref])).events) == 1
    assert await scene.key("HGET", f"event:{event.ref}:progress", "lost") == b"0"


async def test_a_leap_that_a_living_process_measured_as_wrong_stays_out_of_ledger_time(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    membership = scene.ledger.membership
    await membership.attend("worker")
    before = await raw.now(scene.ledger)
    stepped.step(LEAP)
    assert (await membership.attend("worker")).held > 0
    assert (await membership.read()).measured
    await hold_is_over(scene)
    await membership.attend("worker")
    clock = await membership.read()
    assert clock.held == 0
    assert before <= clock.now < before + 60_000
    stepped.step(-LEAP)
    after = await membership.read()
    assert clock.now <= after.now < before + 60_000
    assert abs(after.offset) < 1_000


async def test_a_time_in_which_nobody_called_is_taken_as_true_after_ten_minutes(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    """No process was there before the leap: the whole fleet was down, perhaps on another machine."""
    await raw.now(scene.ledger)
    stepped.step(LEAP)
    new = (await scene.another()).membership
    assert (await new.attend("worker")).held > 0
    held = await new.attend("worker")
    assert held.held > 0
    assert not held.measured
    await hold_is_over(scene)
    await new.attend("worker")
    clock = await new.read()
    assert (clock.held, clock.offset) == (0, 0)


async def test_a_process_that_waited_for_redis_explains_the_time_that_passed(scene: LedgerScene) -> None:
    """Redis was away for an hour, as the process that waited for it has measured."""
    membership = scene.ledger.membership
    await membership.attend("worker")
    an_hour = int(HOUR * 1000)
    watch = membership._watch
    assert watch is not None
    membership._watch = replace(watch, boottime=watch.boottime - an_hour, ledger=watch.ledger - an_hour)
    floor = int(await scene.key("HGET", "meta", "floor"))
    await scene.key("HSET", "meta", "floor", floor - an_hour)
    held = await membership.attend("worker")
    assert held.held >= an_hour - 60_000
    clock = await membership.read()
    assert clock.held == 0
    assert clock.now >= floor


async def test_a_clock_that_is_corrected_lifts_the_hold_at_once(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    stepped.step(LEAP)
    assert (await scene.ledger.membership.read()).held > 0
    stepped.step(-LEAP)
    assert (await scene.ledger.membership.read()).held == 0


async def test_a_clock_that_comes_back_from_a_step_back_needs_no_explanation(
    scene: LedgerScene, stepped: SteppedRedisServer
) -> None:
    stepped.step(-600)
    assert (await scene.ledger.membership.read()).offset > 599_000
    stepped.step(600)
    clock = await scene.ledger.membership.read()
    assert clock.held == 0
    assert abs(clock.offset) < 1_000


async def test_what_is_owed_has_no_ttl_that_a_leap_could_end(scene: LedgerScene, stepped: SteppedRedisServer) -> None:
    await scene.ledger.integrations.put(an_integration("i"))
    (job,) = await scene.owe("i", "e-1")
    await scene.ledger.inbox.accept([an_event("e-2")])
    stepped.step(100 * DAY)
    found = await scene.contents()
    assert found.jobs[job]["state"] == "pending"
    assert {"e-1", "e-2"} == {stored.event.id for stored in found.events.values()}
    assert [claim.job_id for claim in await scene.claim("i")] == [job]
