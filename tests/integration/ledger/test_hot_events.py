"""New events that registered workers take from the ledger, without a wake-up."""

import asyncio

from tests.ledger.scene import LedgerScene
from tests.samples import an_event
from worker.domain.event import Ingress
from worker.ledger.events.inbox import Acceptance

NEW, DUPLICATE, WAKES = Acceptance.NEW, Acceptance.DUPLICATE, Acceptance.WAKES


async def refs(scene: LedgerScene) -> list[str]:
    return list(await scene.ledger.hot_events.wait())


async def test_a_new_event_needs_no_wakeup_while_a_worker_is_registered(scene: LedgerScene) -> None:
    inbox, hot = scene.ledger.inbox, scene.ledger.hot_events
    assert await inbox.accept([an_event("before")]) == [NEW]
    await hot.join()
    first, second = an_event("e-1"), an_event("e-2")
    assert await inbox.accept([first, second, first]) == [WAKES, WAKES, DUPLICATE]
    assert await refs(scene) == [first.ref, second.ref]
    assert await hot.leave() == []
    assert await inbox.accept([an_event("after")]) == [NEW]


async def test_a_waiting_worker_gets_an_event_at_once(scene: LedgerScene) -> None:
    await scene.ledger.hot_events.join()
    waiting = asyncio.create_task(refs(scene))
    event = an_event("e-1")
    while not waiting.done():
        # The wait may have ended before the event came.
        answer = await scene.ledger.inbox.accept([event])
        assert answer in ([WAKES], [DUPLICATE])
        if await waiting == [event.ref]:
            break
        waiting = asyncio.create_task(refs(scene))
    await scene.ledger.hot_events.leave()


async def test_what_waits_goes_to_the_last_one_that_leaves(scene: LedgerScene) -> None:
    other = await scene.another()
    for each in (scene.ledger, other):
        await each.hot_events.join()
    event = an_event("e-1")
    assert await scene.ledger.inbox.accept([event]) == [WAKES]
    assert await scene.ledger.hot_events.leave() == []
    assert await scene.ledger.inbox.accept([an_event("e-2")]) == [WAKES]
    assert await other.hot_events.leave() == [event.ref, an_event("e-2").ref]


async def test_a_worker_that_died_is_registered_until_its_registration_runs_out(scene: LedgerScene) -> None:
    dead, survivor = await scene.another(), scene.ledger
    await dead.hot_events.join()
    # As if its registration had been renewed long ago.
    await scene.key("ZADD", "observers", 1, dead.owner)
    await scene.key("HSET", "meta", "observed_until", 1)
    assert await survivor.inbox.accept([an_event("e-1")]) == [NEW]
    await survivor.hot_events.join()
    event = an_event("e-2")
    assert await survivor.inbox.accept([event]) == [WAKES]
    assert await survivor.hot_events.leave() == [event.ref], "nobody else is left to observe it"


async def test_events_that_a_worker_observes_itself_wake_nobody(scene: LedgerScene) -> None:
    await scene.ledger.hot_events.join()
    assert await scene.ledger.inbox.accept([an_event("e-1")], Ingress.CELERY) == [NEW]
    assert await scene.ledger.hot_events.leave() == []


async def test_a_list_that_nobody_reads_has_an_end_and_events_get_wakeups_again(scene: LedgerScene) -> None:
    await scene.ledger.hot_events.join()
    events = [an_event(f"e-{number}") for number in range(2_100)]
    answers = [
        answer
        for start in range(0, 2_100, 100)
        for answer in await scene.ledger.inbox.accept(events[start : start + 100])
    ]
    assert answers == [WAKES] * 2_000 + [NEW] * 100
    left = await scene.ledger.hot_events.leave()
    assert left == [each.ref for each in events[:2_000]], "more than one call returns"


async def test_a_sweep_says_whether_a_worker_is_registered(scene: LedgerScene) -> None:
    assert not (await scene.ledger.fleet.sweep()).observed
    await scene.ledger.hot_events.join()
    assert (await scene.ledger.fleet.sweep()).observed
    await scene.ledger.hot_events.leave()
    assert not (await scene.ledger.fleet.sweep()).observed


async def test_an_event_whose_worker_died_with_it_is_announced_by_a_sweep(scene: LedgerScene) -> None:
    await scene.ledger.hot_events.join()
    event = an_event("e-1")
    assert await scene.ledger.inbox.accept([event]) == [WAKES]
    assert await refs(scene) == [event.ref]
    # It dies here. Its time to be observed in passes.
    await scene.key("ZADD", "inbox", 1, event.ref)
    assert [each.id for each in (await scene.ledger.fleet.sweep()).events] == [event.ref]
