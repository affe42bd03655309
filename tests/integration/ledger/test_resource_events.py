"""The events of a resource: found by type and id, with a sequence that grows, and gone with the events."""

from typing import Any

from tests.ledger import raw, surgery
from tests.ledger.scene import LedgerScene, settlement
from tests.samples import ELSEWHERE, SCOPE, an_event
from worker.domain.affected_resource import AffectedResource
from worker.domain.compact_id import COMPACT_BYTES
from worker.domain.event import Event, Scope
from worker.ledger import Ledger, Verdict
from worker.ledger.inspection.event_history import EventSummary

ORDER = AffectedResource("order", "123")
LISTED = 100


def of_order(event_id: str, scope: Scope = SCOPE, **more: Any) -> Event:
    return an_event(event_id, scope, data=b'{"type":"order","id":"123"}', **more)


async def found(ledger: Ledger, scope: Scope = SCOPE, resource: AffectedResource | None = ORDER) -> list[EventSummary]:
    return list((await ledger.events.page(scope, 0, 1_000, resource)).items)


async def indexes(scene: LedgerScene) -> set[str]:
    return {name for name in (await scene.contents()).strings if name.startswith("events:")}


async def test_events_are_found_by_their_resource_the_newest_first_and_in_their_scope_only(scene: LedgerScene) -> None:
    ledger = scene.ledger
    await ledger.inbox.accept([of_order("e-1"), an_event("other", data=b'{"type":"order","id":"124"}')])
    await ledger.inbox.accept([of_order("e-2"), of_order("e-3", ELSEWHERE), an_event("without an id", data=b"{}")])

    events = await found(ledger)

    assert [(each.id, each.type, each.waiting) for each in events] == [
        ("e-2", "order.paid", True),
        ("e-1", "order.paid", True),
    ]
    assert [each.id for each in await found(ledger, ELSEWHERE)] == ["e-3"]
    assert await found(ledger, SCOPE, AffectedResource("order", "12")) == []
    assert {each.id for each in await found(ledger, resource=None)} == {"e-1", "e-2", "other", "without an id"}
    pages = [await ledger.events.page(SCOPE, offset, 1, ORDER) for offset in (0, 1, 2)]
    assert [[each.id for each in page.items] for page in pages] == [["e-2"], ["e-1"], []]
    assert {page.total for page in pages} == {2}


async def test_the_sequence_grows_within_a_call_across_calls_and_when_the_clock_stands(scene: LedgerScene) -> None:
    ledger = scene.ledger
    await ledger.inbox.accept([of_order(f"e-{n}") for n in range(50)])
    await ledger.inbox.accept([of_order("e-7"), of_order("e-50")])
    events = await found(ledger)
    assert [each.id for each in events] == [f"e-{n}" for n in range(50, -1, -1)]
    sequences = [each.sequence for each in events]
    assert sequences == sorted(set(sequences), reverse=True)
    assert all(0 <= each.sequence - each.accepted_at * 1000 < 1_000 for each in events)
    loaded = (await ledger.inbox.load([of_order("e-50").ref])).events[0]
    assert (loaded.sequence, loaded.accepted_at) == (events[0].sequence, events[0].accepted_at)


async def test_the_sequence_is_larger_than_the_last_one_even_if_that_is_ahead_of_the_time(scene: LedgerScene) -> None:
    ledger = scene.ledger
    await ledger.inbox.accept([of_order("e-1")])
    (first,) = await found(ledger)
    ahead = await surgery.move_resource_ahead(ledger, of_order("e-1"), 60_000)

    await ledger.inbox.accept([of_order("e-2"), of_order("e-3")])

    assert ahead > first.sequence
    assert [each.sequence for each in await found(ledger)][:2] == [ahead + 2, ahead + 1]


async def test_only_the_last_events_are_listed(scene: LedgerScene) -> None:
    for start in range(0, LISTED + 30, 10):
        await scene.ledger.inbox.accept([of_order(f"e-{n}") for n in range(start, start + 10)])
    assert [each.id for each in await found(scene.ledger)] == [f"e-{n}" for n in range(LISTED + 29, 29, -1)]
    (index,) = await indexes(scene)
    assert len((await scene.contents()).strings[index]) == 8 + LISTED * COMPACT_BYTES


async def test_the_index_goes_with_its_events(scene: LedgerScene) -> None:
    await scene.register("i-1")
    for event_id in ("e-1", "e-2"):
        await scene.ledger.inbox.accept([of_order(event_id)])
        loaded = (await scene.ledger.inbox.load([of_order(event_id).ref])).events
        await scene.open(list(loaded), "i-1")
    first, second = await scene.claim("i-1")
    await scene.settle(first, Verdict.SUCCEEDED)
    await scene.retention_passes()
    assert [each.id for each in await found(scene.ledger)] == ["e-2"]

    await scene.ledger.jobs.settle([settlement(second, Verdict.SUCCEEDED)])
    await scene.retention_passes()

    assert await found(scene.ledger) == []
    assert await indexes(scene) == set()
    await scene.ledger.inbox.accept([of_order("e-3")])
    (last,) = await found(scene.ledger)
    assert last.sequence > 0


async def test_an_event_that_redis_lost_is_not_found_and_listed_once_when_it_comes_again(scene: LedgerScene) -> None:
    ledger = scene.ledger
    await ledger.inbox.accept([of_order("e-1"), of_order("e-2")])
    await surgery.forget_event(ledger, of_order("e-1").ref)
    assert [each.id for each in await found(ledger)] == ["e-2"]
    await raw.command(ledger, "ZREM", "inbox", of_order("e-1").ref)
    await raw.command(ledger, "HINCRBY", "counters", "accepted", -1)

    await ledger.inbox.accept([of_order("e-1")])

    assert [each.id for each in await found(ledger)] == ["e-1", "e-2"]
