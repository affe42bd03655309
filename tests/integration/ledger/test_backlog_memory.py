"""All backlogs together get a share of Redis's memory; beyond it, the largest loses its oldest jobs."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import inspection, raw
from tests.ledger.planting import plant, plant_across
from tests.ledger.scene import HOUR, LedgerScene
from tests.samples import an_event, an_integration
from worker.domain.job import JobState
from worker.ledger import Ledger, LedgerFull, Verdict
from worker.ledger.connection import redis_client as redis_client_module
from worker.ledger.fleet import CutBacklog
from worker.ledger.policy import MAX_JOBS_PER_CALL

#: A share so small that Redis uses more, and no backlog fits in.
NOTHING = 1e-9
LARGE, SMALL = "large", "small"


@pytest.fixture
async def limited(scene: LedgerScene) -> AsyncIterator[None]:
    """Give the ledger's Redis a limit."""
    client = raw.client(scene.ledger)
    await client.config_set("maxmemory", "1gb")
    yield
    await client.config_set("maxmemory", "0")


async def cut(scene: LedgerScene, share: float) -> CutBacklog | None:
    """Cut once, as a process that gives all backlogs `share` of Redis's memory."""
    ledger: Ledger = await scene.another(backlog_memory=share)
    return await ledger.fleet.cut_backlogs()


@pytest.mark.usefixtures("limited")
async def test_the_largest_backlog_loses_its_oldest_jobs(scene: LedgerScene) -> None:
    await scene.register(LARGE, SMALL)
    (small,) = await scene.owe(SMALL, "other")
    old, *young = await scene.owe(LARGE, "e-1", "e-2", "e-3")
    await scene.key("ZADD", f"lane:{LARGE}:due", 1, old)
    taken = int(await scene.key("GET", "backlog-bytes"))

    # Redis uses more than a few kilobytes, so the share is what the backlogs take, less one byte.
    found = await cut(scene, (taken - 1) / 2**30)

    assert found is not None
    assert (found.lane, found.jobs, found.sum) == (LARGE, 1, taken)
    assert await scene.state(old) == (JobState.CANCELLED, "ledger_overflow")
    assert {(await scene.state(job))[0] for job in (small, *young)} == {JobState.PENDING}
    assert await cut(scene, (taken - 1) / 2**30) is None


@pytest.mark.usefixtures("limited")
async def test_a_job_that_waits_for_a_later_attempt_is_cut_too(scene: LedgerScene) -> None:
    await scene.register(LARGE)
    (job,) = await scene.owe(LARGE, "e-1")
    (claim,) = await scene.claim(LARGE)
    await scene.settle(claim, Verdict.RETRY, delay=HOUR)
    assert (await cut(scene, NOTHING)) is not None
    assert await scene.state(job) == (JobState.CANCELLED, "ledger_overflow")
    assert await scene.counter("cancelled") == 1


@pytest.mark.usefixtures("limited")
async def test_nothing_is_cut_while_redis_uses_less_than_the_share(scene: LedgerScene) -> None:
    """What several jobs share counts for each of them, so the count may be too high."""
    await scene.register(LARGE)
    await scene.owe(LARGE, "e-1")
    await scene.key("INCRBY", "backlog-bytes", 2**40)
    assert await cut(scene, 0.5) is None
    await scene.key("DECRBY", "backlog-bytes", 2**40)


async def test_without_a_limit_of_redis_nothing_is_cut(scene: LedgerScene) -> None:
    await scene.register(LARGE)
    await scene.owe(LARGE, "e-1")
    assert await cut(scene, NOTHING) is None


@pytest.mark.usefixtures("limited")
async def test_a_chunk_is_cut_at_a_time_and_the_largest_backlog_may_change(scene: LedgerScene) -> None:
    await scene.register(SMALL)
    integration = an_integration(LARGE)
    await scene.ledger.integrations.put(integration)
    await scene.owe(SMALL, *(f"small-{n}" for n in range(50)))
    await plant(scene.ledger, integration, MAX_JOBS_PER_CALL + 50)
    first, second, third = [await cut(scene, NOTHING) for _ in range(3)]
    assert (first and first.lane, first and first.jobs) == (LARGE, MAX_JOBS_PER_CALL)
    assert {second and second.lane, third and third.lane} == {LARGE, SMALL}
    assert await cut(scene, NOTHING) is None
    status = await scene.ledger.status.read()
    assert (status.pending, status.counter("cancelled")) == (0, MAX_JOBS_PER_CALL + 100)


@pytest.mark.usefixtures("limited")
async def test_what_was_cut_is_forgotten_at_once_while_redis_is_short_of_memory(scene: LedgerScene) -> None:
    short = await scene.another(backlog_memory=NOTHING)
    await scene.register(LARGE)
    (delivered,) = await scene.owe(LARGE, "e-0")
    await scene.settle((await scene.claim(LARGE))[0], Verdict.SUCCEEDED)
    await scene.owe(LARGE, "e-1")
    await short.fleet.cut_backlogs()
    assert await scene.ledger.fleet.forget() == 0, "it can be looked at while there is memory"

    assert await short.fleet.forget() == 1
    assert not await scene.is_kept(an_event("e-1").ref)
    assert (await scene.state(delivered))[0] is JobState.SUCCEEDED, "the others are kept for their time"


@pytest.mark.usefixtures("limited")
async def test_an_event_with_another_job_that_ended_is_kept_and_forgotten_in_time(scene: LedgerScene) -> None:
    short = await scene.another(backlog_memory=NOTHING)
    await scene.register(LARGE, SMALL)
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], LARGE, SMALL)
    await scene.settle((await scene.claim(SMALL))[0], Verdict.SUCCEEDED)
    await short.fleet.cut_backlogs()
    await short.fleet.forget()
    assert await scene.is_kept(stored.ref)
    await scene.retention_passes()
    assert not await scene.is_kept(stored.ref)


@pytest.mark.parametrize("lanes", [1, 200])
async def test_a_backlog_counts_what_its_jobs_and_events_really_take(
    scene: LedgerScene, make_redis: Callable[..., RedisServer], lanes: int
) -> None:
    ledger = await scene.another(make_redis(appendonly="no").url)
    integrations = [an_integration(f"i-{n}") for n in range(lanes)]
    for each in integrations:
        await ledger.integrations.put(each)
    before = await inspection.used_memory(ledger)
    await plant_across(ledger, integrations, 4_000)
    really = await inspection.used_memory(ledger) - before
    # Redis keeps a short list in less memory than a long one. The count may be too high, but hardly too low.
    assert 0.85 < int(await raw.command(ledger, "GET", "backlog-bytes")) / really < 1.6


async def test_one_dead_receivers_backlog_keeps_no_store_from_publishing(
    scene: LedgerScene, make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the cut, Redis is over its high-water mark before half of these events are accepted."""
    monkeypatch.setattr(redis_client_module, "MEMORY_SAMPLE_SECONDS", 0.0)
    ledger = await scene.another(make_redis(maxmemory="24mb", appendonly="no").url)
    dead = LedgerScene(ledger, scene.another)
    await dead.register(LARGE)
    for start in range(0, 20_000, MAX_JOBS_PER_CALL):
        events = [an_event(f"e-{n}") for n in range(start, start + MAX_JOBS_PER_CALL)]
        try:
            await ledger.inbox.accept(events)
        except LedgerFull as error:
            pytest.fail(f"after {start} events: {error}")
        stored = (await ledger.inbox.load([each.ref for each in events])).events
        await dead.open(stored, LARGE)
        while await ledger.fleet.cut_backlogs() or await ledger.fleet.forget():
            pass
    status = await ledger.status.read()
    assert status.counter("accepted") == status.counter("cancelled") + status.pending == 20_000
    assert status.pending > 1_000
    assert await inspection.memory_share(ledger) < 0.6
    assert (await dead.contents()).problems() == []
