"""Invariant 5: what a call costs does not grow with what is stored and not due, nor with a backlog."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.inspection import commands
from tests.ledger.planting import plant_future_jobs
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import SCOPE, an_integration
from worker.domain.claim import Claim
from worker.domain.job import job_id
from worker.ledger import Ledger, Verdict
from worker.ledger.lanes.claims import Opening
from worker.ledger.policy import MAX_JOBS_PER_CALL

#: Jobs that a call opens, and the commands that each of them may cost.
CHUNK = 100
MOST_COMMANDS_PER_JOB = 20


def assert_even(costs: Collection[int]) -> None:
    """Calls cost the same, but for the one command by which some of them note the time (see clock.lua)."""
    assert max(costs) - min(costs) <= 1, costs


@pytest.mark.parametrize("work", ["sweep", "seize", "expire", "renew"])
async def test_a_timers_cost_does_not_grow_with_what_is_not_due(ledger: Ledger, work: str) -> None:
    scene = LedgerScene(ledger, lambda: ledger)
    costs = []
    # The first round has Redis learn the scripts.
    for turn, (lanes, each) in enumerate(((1, 1), (1, 10), (5_000, 1), (1, 5_000))):
        await plant_future_jobs(ledger, lanes, each)
        await scene.register(lane := f"due {turn}")
        (job,) = await scene.owe(lane, f"e-{turn}")
        if work == "expire":
            await scene.overdue(job)
        costs.append(await commands(ledger, getattr(ledger.fleet, work)))
        await scene.claim(lane)
    assert_even(costs[1:])


async def test_a_claims_cost_does_not_grow_with_the_backlog(ledger: Ledger) -> None:
    scene = LedgerScene(ledger, lambda: ledger)
    await scene.register("busy")
    await scene.owe("busy", *(f"e-{n}" for n in range(100)))
    costs = []
    for _ in range(3):
        costs.append(await commands(ledger, lambda: ledger.jobs.claim(["busy"], 2)))
        behind = await raw.now(ledger) + HOUR * 1000 * len(costs) - HOUR * 1000
        extra = {f"backlog {len(costs)} {n}": behind for n in range(5_000)}
        await raw.client(ledger).zadd(raw.key(ledger, "lane:busy:due"), extra)
    assert_even(costs[1:])
    assert len(await ledger.fleet.leases()) == 6


async def test_a_creations_cost_does_not_grow_with_the_integrations_that_are_there(
    ledger: Ledger, redis_server: RedisServer
) -> None:
    limited = Ledger(redis_server.url, replace(ledger.policy, integrations=10_000))
    await limited.open()
    costs = []
    for turn, there in enumerate((1, 10, 5_000)):
        listed = {f"other {n}": n for n in range(there)}
        await raw.client(ledger).zadd(raw.key(ledger, f"scope:{SCOPE.key}:list"), listed)
        new = an_integration(f"new {turn}")
        costs.append(await commands(ledger, lambda: limited.integrations.put(new, expect=0)))  # noqa: B023  (called at once)
    await limited.close()
    assert_even(costs[1:])


async def owed_on_many_lanes(scene: LedgerScene, count: int) -> list[str]:
    """So many due jobs, spread so that no cap is in their way."""
    (stored,) = await scene.publish("e-1")
    lanes = [f"i-{n}" for n in range(count)]
    for start in range(0, count, 100):
        await scene.register(*lanes[start : start + 100])
        await scene.open([stored], *lanes[start : start + 100], last=start + 100 >= count)
    return lanes


@contextlib.contextmanager
def sizes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many jobs each call of a script was given."""
    seen: list[int] = []
    run = raw.connection(ledger).run

    async def counted(name: str, **arguments: Any) -> Any:
        given = [value for value in arguments.values() if isinstance(value, list | tuple)]
        nested = [job for event in arguments.get("events", ()) for job in event.get("jobs", ())]
        # A claim names lanes, and takes as many jobs as fit.
        jobs = [arguments.get("room", 0)] if name == "claim" else [len(nested), *map(len, given)]
        seen.append(max(jobs))
        return await run(name, **arguments)

    monkeypatch.setattr(raw.connection(ledger), "run", counted)
    yield seen
    monkeypatch.undo()


@pytest.mark.parametrize("work", ["claim", "open", "settle", "release", "redeliver", "seize"])
async def test_no_call_touches_more_jobs_than_it_may_however_many_are_asked_for(
    scene: LedgerScene, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either the ledger batches what it is given, or it refuses it."""
    jobs = scene.ledger.jobs
    lanes = await owed_on_many_lanes(scene, 450)
    claims: list[Claim] = []
    if work in ("settle", "release"):
        for start in range(0, 450, 90):
            claims += await scene.claim(*lanes[start : start + 90], room=90)
    (stored,) = await scene.publish("e-2")
    openings = [Opening(job_id(stored.ref, lane), lane) for lane in lanes]
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "claim": lambda: jobs.claim(lanes, 450),
        "open": lambda: jobs.open([(stored, openings, True)], 450),
        "settle": lambda: jobs.settle([settlement(claim, Verdict.SUCCEEDED) for claim in claims]),
        "release": lambda: jobs.release(claims),
        "redeliver": lambda: scene.ledger.redelivery.redeliver([opening.job_id for opening in openings]),
        "seize": lambda: scene.ledger.fleet.seize([opening.job_id for opening in openings]),
    }

    with sizes(scene.ledger, monkeypatch) as seen, contextlib.suppress(ValueError):
        await calls[work]()
    assert max(seen, default=0) <= MAX_JOBS_PER_CALL
    if work == "claim":
        assert len((await scene.contents()).jobs) == 450
        leased = await scene.ledger.fleet.leases()
        assert len(leased) <= MAX_JOBS_PER_CALL


async def test_ten_thousand_integrations_are_opened_in_chunks_and_each_costs_the_same_bounded_work(
    ledger: Ledger,
) -> None:
    """Everybody waits for Redis's one thread while a script runs; tests.benchmarks.opening measures how long."""
    lanes = [f"i-{n}" for n in range(10_000)]
    for start in range(0, len(lanes), 500):
        await asyncio.gather(*(ledger.integrations.put(an_integration(lane)) for lane in lanes[start : start + 500]))
    scene = LedgerScene(ledger, lambda: ledger)
    # Redis learns the scripts.
    await scene.open(await scene.publish("first"), lanes[0])
    chunks = [lanes[start : start + CHUNK] for start in range(0, len(lanes), CHUNK)]
    costs = []
    for event_id in ("e-1", "e-2"):
        (stored,) = await scene.publish(event_id)
        for chunk in chunks:
            opening = partial(scene.open, [stored], *chunk, room=CHUNK // 2, last=chunk is chunks[-1])
            costs.append(await commands(ledger, opening))

    status = await ledger.status.read()
    assert (status.pending, status.jobs_balance, status.events_balance) == (2 * 10_000 + 1, 0, 0)
    assert max(costs) <= CHUNK * MOST_COMMANDS_PER_JOB
    # The first chunk of an event writes the job that stands in its record, and the last one takes it out of the inbox.
    every_other = {cost for number, cost in enumerate(costs) if number % len(chunks) not in (0, len(chunks) - 1)}
    assert_even(every_other)
