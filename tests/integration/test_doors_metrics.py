"""Events are counted at the door they came by: accepted, known already, or why not."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from config.observable_events import load_catalogue
from config.settings import load_settings
from tests.counterparts.store import StoreServer
from tests.integration.ledger.scene import an_integration, dispatch_of
from worker.api.intake import Intake
from worker.doors.celery_messages import TaskDoor
from worker.events import Door, Event
from worker.ledger import Ledger, LedgerFull
from worker.ledger.messages import INTAKE_LIST
from worker.metrics import Refused, observe_accepted
from worker.parsing import EventRules, parse_event
from worker.publisher import Publisher


class Counts:
    """What a door has counted since this was made."""

    def __init__(self, door: Door) -> None:
        self._door = door.value
        self._before = self._read()

    def _read(self) -> list[float]:
        def value(name: str, **labels: str) -> float:
            return REGISTRY.get_sample_value(f"edw_events_{name}_total", {"door": self._door, **labels}) or 0.0

        reasons = [value("refused", reason=reason.value) for reason in (Refused.INVALID, Refused.PRESSURE)]
        return [value("accepted"), value("duplicated"), *reasons]

    @property
    def since(self) -> list[float]:
        """Accepted, duplicated, invalid, refused under pressure."""
        return [now - before for now, before in zip(self._read(), self._before, strict=True)]


def an_event(event_id: str, kind: str = "order.paid") -> dict[str, Any]:
    return {"type": kind, "id": event_id, "store_id": "store-1", "data": {}}


async def test_a_publisher_counts_in_its_own_process(store: StoreServer) -> None:
    counts = Counts(Door.PUBLISHER)
    async with Publisher(load_settings(redis_url=store.url)) as publisher:
        await publisher.apublish_many([an_event("e-1"), an_event("e-1"), an_event("e-2", "no.such.type")])
    with Publisher(load_settings(redis_url=store.url)) as publisher:
        publisher.publish(an_event("e-3"))
    assert counts.since == [2, 1, 1, 0]


async def test_what_a_full_store_refuses_is_counted_as_refused(store: StoreServer) -> None:
    counts = Counts(Door.PUBLISHER)
    settings = load_settings(redis_url=store.url, memory_high_water="1%")
    ledger = Ledger(store.url)
    await ledger.store.client.config_set("maxmemory", "10mb")
    try:
        async with Publisher(settings) as publisher:
            with pytest.raises(LedgerFull):
                await publisher.apublish_many([an_event("e-1"), an_event("e-2")])
    finally:
        await ledger.store.client.config_set("maxmemory", "0")
        await ledger.close()
    assert counts.since == [0, 0, 0, 2]


@pytest.mark.parametrize("door", [Door.QUEUE, Door.CELERY])
async def test_the_doors_of_messages_count_what_they_keep(ledger: Ledger, door: Door) -> None:
    counts = Counts(door)
    rules = EventRules(load_catalogue())
    given = [an_event("e-1"), an_event("e-1"), {"type": "order.paid"}]
    parsed = [(parse_event(each, rules), each) for each in given]
    unused: Any = None
    await TaskDoor(ledger, unused, rules).keep(parsed, "a test", door)
    assert counts.since == [1, 1, 1, 0]


async def by_publisher(ledger: Ledger, event: Event) -> None:
    async with Publisher(load_settings(redis_url=f"unix://{ledger.address}")) as publisher:
        await publisher.apublish(event.raw)


async def by_http(ledger: Ledger, event: Event) -> None:
    await Intake(ledger.intake, load_settings(), announce=lambda _: None).accept([event])


async def by_queue(ledger: Ledger, event: Event) -> None:
    await ledger.store.client.execute_command("LPUSH", INTAKE_LIST, event.raw)
    await ledger.messages.accept(await ledger.messages.take(), 1, [event], [])


async def by_celery(ledger: Ledger, event: Event) -> None:
    await TaskDoor(ledger, dispatch_of(ledger), EventRules(load_catalogue())).keep([(event, {})], "a test", Door.CELERY)


async def by_a_change(ledger: Ledger, event: Event) -> None:
    await ledger.registry.put(an_integration(enabled=False), events=[event])


@pytest.mark.parametrize(
    ("door", "bring"),
    [
        (Door.PUBLISHER, by_publisher),
        (Door.HTTP, by_http),
        (Door.QUEUE, by_queue),
        (Door.CELERY, by_celery),
        (Door.INTEGRATIONS, by_a_change),
    ],
)
async def test_what_nobody_observes_is_counted_by_the_door_it_came_by(
    ledger: Ledger, door: Door, bring: Callable[[Ledger, Event], Awaitable[None]]
) -> None:
    event = parse_event(an_event("e-1"), EventRules(load_catalogue()))
    assert isinstance(event, Event)
    before = [unmatched(each) for each in Door]
    await bring(ledger, event)

    await dispatch_of(ledger).observe([event.ref])
    await dispatch_of(ledger).observe([event.ref])

    assert [now - was for now, was in zip(map(unmatched, Door), before, strict=True)] == [each is door for each in Door]


async def test_what_somebody_observes_is_not_unmatched(ledger: Ledger) -> None:
    event = parse_event(an_event("e-1"), EventRules(load_catalogue()))
    assert isinstance(event, Event)
    await ledger.registry.put(an_integration(scope=event.scope))
    before = unmatched(Door.PUBLISHER)
    await ledger.intake.accept([event])

    await dispatch_of(ledger).observe([event.ref])

    assert unmatched(Door.PUBLISHER) == before
    assert (await ledger.status.read()).counter("matched") == 1


def unmatched(door: Door) -> float:
    return REGISTRY.get_sample_value("edw_events_unmatched_total", {"door": door.value}) or 0.0


def test_every_door_is_there_from_the_start() -> None:
    """The first refusal is an increase, which an alert sees, and not a new series, which it does not."""
    for door in Door:
        for name in ("accepted", "duplicated", "unmatched"):
            assert REGISTRY.get_sample_value(f"edw_events_{name}_total", {"door": door.value}) is not None
        for reason in Refused:
            labels = {"door": door.value, "reason": reason.value}
            assert REGISTRY.get_sample_value("edw_events_refused_total", labels) is not None


def test_nothing_offered_counts_nothing() -> None:
    counts = Counts(Door.HTTP)
    observe_accepted(Door.HTTP, [])
    assert counts.since == [0, 0, 0, 0]
