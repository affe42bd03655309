"""Filters in the ledger: who gets an event, how the rest is accounted for, and what an older process makes of it."""

from dataclasses import replace

import pytest

from tests.ledger.scene import LedgerScene, dispatch_of
from tests.samples import SCOPE, an_event, an_integration
from worker.domain.change import Actor
from worker.domain.event import event_ref
from worker.domain.format_version import FILTER_SINCE
from worker.domain.job import job_id
from worker.domain.matching import Snapshot
from worker.integrations.redelivery import RedeliveryService, Selection
from worker.ledger.integration_repository import NotInForceError

LARGE = {"data": {"total": {"$gte": 100}}}


async def observe(scene: LedgerScene, *totals: int) -> list[str]:
    """Events with a total each, observed by a worker; their references."""
    events = [an_event(f"e-{total}", data=b'{"type":"order","id":"o","total":%d}' % total) for total in totals]
    await scene.ledger.inbox.accept(events)
    await dispatch_of(scene.ledger).observe([event.ref for event in events])
    return [event.ref for event in events]


async def test_an_event_opens_jobs_where_the_filter_matches_and_the_rest_is_accounted_for(scene: LedgerScene) -> None:
    await scene.register("large", filter=LARGE)
    await scene.register("small", filter={"data": {"total": {"$lt": 10}}})
    await observe(scene, 50, 200)
    assert await scene.jobs_of(event_ref(SCOPE, "e-50")) == []
    assert await scene.jobs_of(event_ref(SCOPE, "e-200")) == [job_id(event_ref(SCOPE, "e-200"), "large")]
    status = await scene.ledger.status.read()
    counted = {name: status.counter(name) for name in ("accepted", "matched", "filtered", "unmatched", "left_out")}
    assert counted == {"accepted": 2, "matched": 1, "filtered": 1, "unmatched": 0, "left_out": 3}
    assert (status.inbox, status.events_balance, status.jobs_balance) == (0, 0, 0)


async def test_who_has_no_filter_gets_everything_and_a_removed_filter_is_forgotten(scene: LedgerScene) -> None:
    await scene.register("all")
    await scene.register("large", filter=LARGE)
    (first,) = await observe(scene, 1)
    assert await scene.jobs_of(first) == [job_id(first, "all")]
    (large,) = await scene.ledger.integrations.get(["large"])
    assert (large.filter, large.minor) == (LARGE, FILTER_SINCE)
    await scene.ledger.integrations.put(replace(large, filter=None), renewed=False)
    (large,) = await scene.ledger.integrations.get(["large"])
    # Every process understands it again.
    assert (large.filter, large.minor) == (None, 0)
    assert await scene.key("HGET", "lane:large", "minor") is None
    (second,) = await observe(scene, 2)
    assert set(await scene.jobs_of(second)) == {job_id(second, "all"), job_id(second, "large")}


async def test_an_event_whose_observer_died_is_counted_as_filtered_once(scene: LedgerScene) -> None:
    await scene.register("large", filter=LARGE)
    (ref,) = await observe(scene, 1)
    await dispatch_of(scene.ledger).observe([ref])
    status = await scene.ledger.status.read()
    assert (status.counter("filtered"), status.counter("left_out"), status.events_balance) == (1, 1, 0)


@pytest.mark.parametrize("minor", [0, FILTER_SINCE - 1])
async def test_no_filter_is_written_while_a_process_lives_that_would_ignore_it(scene: LedgerScene, minor: int) -> None:
    await scene.register("plain")
    scene.ledger.membership.in_force = minor
    with pytest.raises(NotInForceError):
        await scene.register("large", filter=LARGE)
    await scene.register("plain", name="renamed")
    (plain,) = await scene.ledger.integrations.get(["plain"])
    assert (plain.name, plain.minor) == ("renamed", 0)


async def test_a_filter_survives_the_edit_of_a_process_that_lives_beside_an_older_one(scene: LedgerScene) -> None:
    await scene.register("large", filter=LARGE)
    # After a roll back, an older process lives again; it leaves the lane and its events to newer ones.
    scene.ledger.membership.in_force = FILTER_SINCE - 1
    (large,) = await scene.ledger.integrations.get(["large"])
    await scene.ledger.integrations.put(replace(large, name="renamed"), large.revision, renewed=False)
    (kept,) = await scene.ledger.integrations.get(["large"])
    assert (kept.name, kept.filter, kept.minor) == ("renamed", LARGE, FILTER_SINCE)
    assert await scene.key("HGET", "lane:large", "minor") == str(FILTER_SINCE).encode()


async def test_an_integration_whose_filter_this_build_cannot_read_is_left_to_a_newer_one(scene: LedgerScene) -> None:
    await scene.register("new", filter={"data": {"total": {"$squared": 4}}})
    snapshot = await scene.ledger.integrations.refresh(Snapshot(SCOPE))
    assert snapshot.newer == {"new"}
    (ref,) = await observe(scene, 1)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("set_aside"), await scene.jobs_of(ref)) == (1, 0, [])
    await scene.ledger.integrations.put(an_integration("new"), renewed=False)
    await dispatch_of(scene.ledger).observe([ref])
    assert await scene.jobs_of(ref) == [job_id(ref, "new")]


async def test_missing_events_are_redelivered_only_if_the_filter_matches_them(scene: LedgerScene) -> None:
    await observe(scene, *range(95, 106))
    await scene.register("large", filter=LARGE)
    (large,) = await scene.ledger.integrations.get(["large"])
    service, by = RedeliveryService(scene.ledger), Actor("", "test")
    selection = Selection(0, await scene.ledger.redis.now() + 1000, frozenset(), missing=True)
    dry = await service.run(large, selection, "m-1", by, dry_run=True)
    done = await service.run(large, selection, "m-1", by)
    assert [(each.opened, each.filtered) for each in (dry, done)] == [(6, 5), (6, 5)]
    # Jobs that it had are delivered again whatever the filter is.
    page = await scene.ledger.jobs.of_integration("large", 0, 100)
    assert {each.event_id for each in page.items} == {f"e-{total}" for total in range(100, 106)}
