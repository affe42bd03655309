"""Events that kill every process that observes them: observed alone after a while, and set aside in the end."""

import pytest

from tests.ledger import raw
from tests.ledger.scene import LedgerScene, dispatch_of
from tests.samples import an_event
from worker.domain.event import Event
from worker.ledger import Ledger, LedgerFull
from worker.ledger.events.inbox import LOSSES_BEFORE_ALONE, OBSERVE_TRIES, LoadedEvents


async def accepted(scene: LedgerScene, *ids: str) -> list[str]:
    """Events in the inbox that nobody has looked at; answers their references."""
    events: list[Event] = [an_event(each) for each in ids]
    await scene.ledger.inbox.accept(events)
    return [event.ref for event in events]


async def dies_observing(scene: LedgerScene, *refs: str, alone: bool = False) -> None:
    """Another process takes the events to observe them, and is no more."""
    dead: Ledger = await scene.another()
    await dead.fleet.renew()
    await dead.inbox.load(refs, alone=alone)
    await scene.die(dead)


def handed_out(loaded: LoadedEvents) -> list[str]:
    return [stored.ref for stored in loaded.events]


async def test_an_event_that_lost_workers_is_observed_alone(scene: LedgerScene) -> None:
    both = await accepted(scene, "e-1", "e-2")
    for _ in range(LOSSES_BEFORE_ALONE - 1):
        await dies_observing(scene, *both)
    assert handed_out(await scene.ledger.inbox.load(both)) == both, "once may be chance"

    await dies_observing(scene, *both)
    loaded = await scene.ledger.inbox.load(both)
    assert (handed_out(loaded), list(loaded.alone)) == ([], both)
    assert handed_out(await scene.ledger.inbox.load(both[1:], alone=True)) == both[1:]


async def test_a_process_that_was_given_an_event_twice_is_one_loss(scene: LedgerScene) -> None:
    (ref,) = await accepted(scene, "e-1")
    dead: Ledger = await scene.another()
    await dead.fleet.renew()
    for _ in range(LOSSES_BEFORE_ALONE):
        await dead.inbox.load([ref])
    await scene.die(dead)
    assert handed_out(await scene.ledger.inbox.load([ref])) == [ref]


async def test_its_neighbours_lose_no_more_by_it_and_it_is_set_aside_in_the_end(scene: LedgerScene) -> None:
    innocent, deadly = await accepted(scene, "innocent", "deadly")
    for _ in range(LOSSES_BEFORE_ALONE):
        await dies_observing(scene, innocent, deadly)
    for _ in range(OBSERVE_TRIES - LOSSES_BEFORE_ALONE):
        # It comes to all of them; each is handed out by itself.
        await dies_observing(scene, innocent, deadly)
        await dies_observing(scene, deadly, alone=True)

    loaded = await scene.ledger.inbox.load([deadly], alone=True)
    assert (handed_out(loaded), [ref for ref, _ in loaded.deadly]) == ([], [deadly])
    ((_, raw),) = loaded.deadly
    assert await scene.ledger.inbox.set_aside(deadly, raw, "workers were lost", 5, tries=1)
    (stored,) = (await scene.ledger.inbox.load([innocent], alone=True)).events
    await scene.open([stored])

    (rejected,) = await scene.ledger.inbox.rejected(10)
    assert "deadly" in rejected.given
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("set_aside"), status.counter("unmatched")) == (0, 1, 1)
    assert status.events_balance == 0


async def test_a_process_that_stopped_in_good_order_is_no_loss(scene: LedgerScene) -> None:
    """However often an event is cut short, it is observed with others and not set aside."""
    both = await accepted(scene, "e-1", "e-2")
    for _ in range(OBSERVE_TRIES):
        stopping: Ledger = await scene.another()
        await stopping.fleet.renew()
        await stopping.inbox.load(both)
        await stopping.inbox.unload(both, announce=True)
        await stopping.fleet.retire()
    loaded = await scene.ledger.inbox.load(both)
    assert (handed_out(loaded), list(loaded.alone)) == (both, [])


async def test_events_that_a_process_leaves_are_announced_at_once(scene: LedgerScene) -> None:
    left, observed, kept = await accepted(scene, "e-1", "e-2", "e-3")
    (_, gone, _) = (await scene.ledger.inbox.load([left, observed, kept])).events
    await scene.open([gone])
    await scene.ledger.inbox.unload([left, observed], announce=True)
    assert [each.id for each in (await scene.ledger.fleet.sweep()).events] == [left]


async def test_events_that_a_process_cannot_observe_now_wait_for_their_time(scene: LedgerScene) -> None:
    (ref,) = await accepted(scene, "e-1")
    await scene.ledger.inbox.load([ref])
    await scene.ledger.inbox.unload([ref])
    assert (await scene.ledger.fleet.sweep()).events == []


async def test_one_whose_observers_live_is_not_blamed_for_a_ledger_that_takes_nothing(scene: LedgerScene) -> None:
    (ref,) = await accepted(scene, "e-1")
    other: Ledger = await scene.another()
    for process in (scene.ledger, other):
        await process.fleet.renew()
    for _ in range(2 * OBSERVE_TRIES):
        assert handed_out(await scene.ledger.inbox.load([ref])) == [ref]
        assert handed_out(await other.inbox.load([ref])) == [ref]


async def test_a_worker_that_dies_late_is_counted_although_others_had_the_event_meanwhile(scene: LedgerScene) -> None:
    (ref,) = await accepted(scene, "e-1")
    dead: list[Ledger] = [await scene.another() for _ in range(OBSERVE_TRIES)]
    for each in dead:
        # Its lease has not run out when the next one takes the event.
        await each.fleet.renew()
        await each.inbox.load([ref])
    await scene.die(*dead)
    assert (await scene.ledger.inbox.load([ref])).alone == (ref,)
    assert [each for each, _ in (await scene.ledger.inbox.load([ref], alone=True)).deadly] == [ref]


async def test_who_says_that_it_could_not_observe_an_event_was_not_lost_by_it(scene: LedgerScene) -> None:
    (ref,) = await accepted(scene, "e-1")
    for _ in range(OBSERVE_TRIES - 1):
        process: Ledger = await scene.another()
        await process.fleet.renew()
        (stored,) = (await process.inbox.load([ref])).events
        await process.inbox.set_aside(ref, stored.event.raw, "ValueError", 5)
        await scene.die(process)
    assert handed_out(await scene.ledger.inbox.load([ref])) == [ref]


async def test_a_worker_that_a_full_redis_kept_from_observing_was_not_lost_by_it(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (ref,) = await accepted(scene, "e-1")
    processes: list[Ledger] = [await scene.another() for _ in range(OBSERVE_TRIES)]
    await raw.client(scene.ledger).config_set("maxmemory", 1)
    try:
        for each in processes:
            await each.fleet.renew()
            with pytest.raises(LedgerFull):
                await dispatch_of(each).observe([ref])
    finally:
        await raw.client(scene.ledger).config_set("maxmemory", 0)

    await scene.die(*processes)
    await dispatch_of(scene.ledger).observe([ref])
    status = await scene.ledger.status.read()
    assert (status.inbox, status.pending, status.counter("set_aside")) == (0, 1, 0)


async def test_a_worker_observes_the_innocent_and_sets_the_deadly_aside_with_the_reason(scene: LedgerScene) -> None:
    await scene.register("i-1")
    innocent, deadly = await accepted(scene, "innocent", "deadly")
    for _ in range(LOSSES_BEFORE_ALONE):
        await dies_observing(scene, innocent, deadly)
    for _ in range(OBSERVE_TRIES - LOSSES_BEFORE_ALONE):
        await dies_observing(scene, deadly, alone=True)

    await dispatch_of(scene.ledger).observe([deadly, innocent])

    (rejected,) = await scene.ledger.inbox.rejected(10)
    assert (rejected.reason, "deadly" in rejected.given) == ("5 workers were lost while they observed it", True)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.pending, status.counter("matched"), status.counter("set_aside")) == (0, 1, 1, 1)
    assert status.events_balance == 0
