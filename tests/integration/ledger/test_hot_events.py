"""New events that registered workers take from the ledger, without a wake-up."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha512
from typing import Any

from tests.ledger import raw
from tests.ledger.scene import LedgerScene, dispatch_of
from tests.samples import ELSEWHERE, an_event, an_integration
from worker.delivery.dispatcher import Dispatcher
from worker.domain.event import Event, Ingress
from worker.domain.format_version import MINOR
from worker.domain.job import job_id
from worker.ledger.events.hot_events import NewEvents
from worker.ledger.events.inbox import Acceptance

NEW, DUPLICATE, WAKES = Acceptance.NEW, Acceptance.DUPLICATE, Acceptance.WAKES


async def refs(scene: LedgerScene) -> list[str]:
    new = await scene.ledger.hot_events.wait()
    return [*(each.ref for each in new.events), *new.refs]


async def arrives(scene: LedgerScene, *events: Event) -> NewEvents:
    """Accept events while this process is registered; return what it gets."""
    await scene.ledger.hot_events.join()
    await scene.ledger.inbox.accept(events)
    return await scene.ledger.hot_events.wait()


async def knowing(scene: LedgerScene) -> Dispatcher:
    """A process that has observed an event of the store, so that it knows the store's integrations."""
    dispatch, event = dispatch_of(scene.ledger), an_event("before")
    await scene.ledger.inbox.accept([event])
    await dispatch.observe([event.ref])
    return dispatch


@contextmanager
def called(scene: LedgerScene) -> Iterator[list[str]]:
    """The scripts that this process calls while the block runs."""
    names: list[str] = []

    def noting(run: raw.Run) -> raw.Run:
        async def noted(name: str, **arguments: Any) -> Any:
            names.append(name)
            return await run(name, **arguments)

        return noted

    with raw.intercepted(scene.ledger, noting):
        yield names


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
    events = [an_event(f"e-{number}") for number in range(2_100)]
    answers: list[Acceptance] = []
    for start in range(0, 2_100, 100):
        await scene.ledger.hot_events.join()
        answers += await scene.ledger.inbox.accept(events[start : start + 100])
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


async def test_a_new_event_comes_with_its_record_as_the_inbox_has_it(scene: LedgerScene) -> None:
    first, second = an_event("e-1"), an_event("e-2")
    new = await arrives(scene, first, second)
    assert new.refs == []
    loaded = await scene.ledger.inbox.load([first.ref, second.ref])
    assert tuple(new.events) == loaded.events
    assert [each.sequence for each in new.events] == [each.sequence for each in loaded.events]


async def test_large_events_and_those_that_many_wait_before_come_as_references(scene: LedgerScene) -> None:
    noise = "".join(sha512(bytes([n])).hexdigest() for n in range(100))
    large, small = an_event("large", data=f'{{"noise":"{noise}"}}'.encode()), an_event("small")
    new = await arrives(scene, large, small)
    assert ([each.ref for each in new.events], new.refs) == ([small.ref], [large.ref])
    for name, count in (("first", 99), ("second", 1), ("third", 1)):
        await scene.ledger.inbox.accept([an_event(f"{name} {n}") for n in range(count)])
    new = await scene.ledger.hot_events.wait()
    assert (len(new.events), new.refs) == (100, [an_event("third 0").ref])


async def test_a_fleet_with_an_older_build_gets_references(scene: LedgerScene) -> None:
    await scene.key("HSET", "meta", "minor", 2)
    event = an_event("e-1")
    new = await arrives(scene, event)
    assert (new.events, new.refs) == ([], [event.ref])


async def test_an_event_for_newer_processes_is_loaded_and_so_left_to_them(scene: LedgerScene) -> None:
    event = replace(an_event("e-1"), minor=MINOR + 1)
    new = await arrives(scene, event)
    assert (new.events, new.refs) == ([], [event.ref])


async def test_records_that_waited_for_nobody_are_not_used(scene: LedgerScene) -> None:
    dead, event = await scene.another(), an_event("e-1")
    await dead.hot_events.join()
    await scene.ledger.inbox.accept([event])
    await scene.key("HSET", "meta", "observed_until", 1)
    await scene.ledger.hot_events.join()
    new = await scene.ledger.hot_events.wait()
    assert (new.events, new.refs) == ([], [event.ref])


async def test_an_erased_event_leaves_no_record_in_the_list(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.ledger.hot_events.join()
    event = an_event("e-1")
    await scene.ledger.inbox.accept([event])
    assert await scene.ledger.erasure.erase(event.ref) is not None
    new = await scene.ledger.hot_events.wait()
    assert (new.events, new.refs) == ([], [event.ref])
    dispatch = dispatch_of(scene.ledger)
    await dispatch.observe(new.refs)
    assert await scene.jobs_of(event.ref) == []


async def test_an_event_with_its_record_is_observed_in_one_call(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    dispatch, event = await knowing(scene), an_event("e-1")
    new = await arrives(scene, event)
    with called(scene) as scripts:
        await dispatch.observe(new.refs, new.events)
    assert [name for name in scripts if name != "standings"] == ["open"]
    assert set(await scene.jobs_of(event.ref)) == {job_id(event.ref, each) for each in ("i-1", "i-2")}


async def test_an_event_is_matched_by_the_integrations_that_there_are_when_its_jobs_are_opened(
    scene: LedgerScene,
) -> None:
    await scene.register("i-1")
    dispatch, events = await knowing(scene), (an_event("e-1"), an_event("e-2"))
    new = await arrives(scene, *events)
    await scene.register("i-2")
    await dispatch.observe(new.refs, new.events)
    for event in events:
        assert set(await scene.jobs_of(event.ref)) == {job_id(event.ref, each) for each in ("i-1", "i-2")}
    # The same if nothing observed it before.
    other = an_event("e-3", scope=ELSEWHERE)
    await dispatch.observe((), (await arrives(scene, an_event("e-4"), other)).events)
    await scene.ledger.integrations.put(an_integration("elsewhere", scope=ELSEWHERE))
    last = an_event("e-5", scope=ELSEWHERE)
    await dispatch.observe((), (await arrives(scene, last)).events)
    assert await scene.jobs_of(other.ref) == []
    assert await scene.jobs_of(last.ref) == [job_id(last.ref, "elsewhere")]


async def test_an_event_of_a_store_that_a_process_does_not_know_is_loaded(scene: LedgerScene) -> None:
    await scene.register("i-1")
    dispatch, event = dispatch_of(scene.ledger), an_event("e-1")
    new = await arrives(scene, event)
    assert new.events
    await dispatch.observe(new.refs, new.events)
    assert await scene.jobs_of(event.ref) == [job_id(event.ref, "i-1")]


async def test_an_event_that_another_process_has_observed_is_not_opened_again(scene: LedgerScene) -> None:
    await scene.register("i-1")
    dispatch, event = await knowing(scene), an_event("e-1")
    new = await arrives(scene, event)
    await scene.open(new.events, "i-1")
    await dispatch.observe(new.refs, new.events)
    assert await scene.counter("opened") == 2


async def test_a_process_that_stops_has_its_new_events_announced_at_once(scene: LedgerScene) -> None:
    await scene.register("i-1")
    dispatch, event = await knowing(scene), an_event("e-1")
    new = await arrives(scene, event)
    dispatch.stop()
    await dispatch.observe(new.refs, new.events)
    await dispatch.leave()
    assert [each.id for each in (await scene.ledger.fleet.sweep()).events] == [event.ref]
