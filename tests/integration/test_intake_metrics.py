"""Events are counted by ingress: accepted, known already, or why not."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from config.observable_events import load_catalogue
from config.settings import load_settings
from tests.counterparts.redis_server import RedisServer
from tests.fleet.producers import push_to_list
from tests.ledger.scene import dispatch_of
from tests.samples import an_integration
from worker.api.services.event_intake import EventIntake
from worker.domain.event import Event, Ingress
from worker.domain.event_parser import EventRules, parse_event
from worker.intake.celery_messages import CeleryIntake
from worker.ledger import Ledger, LedgerFull
from worker.publisher import Publisher
from worker.telemetry.metrics import RefusalReason, observe_accepted


class Counts:
    """What an ingress has counted since this was made."""

    def __init__(self, ingress: Ingress) -> None:
        self._ingress = ingress.value
        self._before = self._read()

    def _read(self) -> list[float]:
        def value(name: str, **labels: str) -> float:
            return REGISTRY.get_sample_value(f"edw_events_{name}_total", {"ingress": self._ingress, **labels}) or 0.0

        reasons = [value("refused", reason=reason.value) for reason in (RefusalReason.INVALID, RefusalReason.PRESSURE)]
        return [value("accepted"), value("duplicated"), *reasons]

    @property
    def since(self) -> list[float]:
        """Accepted, duplicated, invalid, refused under pressure."""
        return [now - before for now, before in zip(self._read(), self._before, strict=True)]


def an_event(event_id: str, kind: str = "order.paid") -> dict[str, Any]:
    return {"type": kind, "id": event_id, "store_id": "store-1", "data": {}}


async def test_a_publisher_counts_in_its_own_process(redis_server: RedisServer) -> None:
    counts = Counts(Ingress.PUBLISHER)
    async with Publisher(load_settings(redis_url=redis_server.url)) as publisher:
        await publisher.apublish_many([an_event("e-1"), an_event("e-1"), an_event("e-2", "no.such.type")])
    with Publisher(load_settings(redis_url=redis_server.url)) as publisher:
        publisher.publish(an_event("e-3"))
    assert counts.since == [2, 1, 1, 0]


async def test_what_a_full_redis_refuses_is_counted_as_refused(redis_server: RedisServer) -> None:
    counts = Counts(Ingress.PUBLISHER)
    settings = load_settings(redis_url=redis_server.url, memory_high_water="1%")
    redis_server.limit_memory("10mb")
    try:
        async with Publisher(settings) as publisher:
            with pytest.raises(LedgerFull):
                await publisher.apublish_many([an_event("e-1"), an_event("e-2")])
    finally:
        redis_server.limit_memory(0)
    assert counts.since == [0, 0, 0, 2]


@pytest.mark.parametrize("ingress", [Ingress.QUEUE, Ingress.CELERY])
async def test_messages_are_counted_by_ingress_when_they_are_kept(ledger: Ledger, ingress: Ingress) -> None:
    counts = Counts(ingress)
    rules = EventRules(load_catalogue())
    given = [an_event("e-1"), an_event("e-1"), {"type": "order.paid"}]
    parsed = [(parse_event(each, rules), each) for each in given]
    unused: Any = None
    await CeleryIntake(ledger, unused, rules).keep(parsed, "a test", ingress)
    assert counts.since == [1, 1, 1, 0]


async def by_publisher(ledger: Ledger, event: Event) -> None:
    async with Publisher(load_settings(redis_url=f"unix://{ledger.address}")) as publisher:
        await publisher.apublish(event.raw)


async def by_http(ledger: Ledger, event: Event) -> None:
    await EventIntake(ledger.inbox, load_settings(), announce=lambda _: None).accept([event])


async def by_queue(ledger: Ledger, event: Event) -> None:
    push_to_list(f"unix://{ledger.address}", event.raw)
    await ledger.intake_list.accept(await ledger.intake_list.take(), 1, [event], [])


async def by_celery(ledger: Ledger, event: Event) -> None:
    await CeleryIntake(ledger, dispatch_of(ledger), EventRules(load_catalogue())).keep(
        [(event, {})], "a test", Ingress.CELERY
    )


async def by_a_change(ledger: Ledger, event: Event) -> None:
    await ledger.integrations.put(an_integration(enabled=False), events=[event])


@pytest.mark.parametrize(
    ("ingress", "bring"),
    [
        (Ingress.PUBLISHER, by_publisher),
        (Ingress.HTTP, by_http),
        (Ingress.QUEUE, by_queue),
        (Ingress.CELERY, by_celery),
        (Ingress.INTEGRATIONS, by_a_change),
    ],
)
async def test_what_nobody_observes_is_counted_by_its_ingress(
    ledger: Ledger, ingress: Ingress, bring: Callable[[Ledger, Event], Awaitable[None]]
) -> None:
    event = parse_event(an_event("e-1"), EventRules(load_catalogue()))
    assert isinstance(event, Event)
    before = [unmatched(each) for each in Ingress]
    await bring(ledger, event)

    await dispatch_of(ledger).observe([event.ref])
    await dispatch_of(ledger).observe([event.ref])

    assert [now - was for now, was in zip(map(unmatched, Ingress), before, strict=True)] == [
        each is ingress for each in Ingress
    ]


async def test_what_somebody_observes_is_not_unmatched(ledger: Ledger) -> None:
    event = parse_event(an_event("e-1"), EventRules(load_catalogue()))
    assert isinstance(event, Event)
    await ledger.integrations.put(an_integration(scope=event.scope))
    before = unmatched(Ingress.PUBLISHER)
    await ledger.inbox.accept([event])

    await dispatch_of(ledger).observe([event.ref])

    assert unmatched(Ingress.PUBLISHER) == before
    assert (await ledger.status.read()).counter("matched") == 1


def unmatched(ingress: Ingress) -> float:
    return REGISTRY.get_sample_value("edw_events_unmatched_total", {"ingress": ingress.value}) or 0.0


def test_every_ingress_is_there_from_the_start() -> None:
    """The first refusal is an increase, which an alert sees, and not a new series, which it does not."""
    for ingress in Ingress:
        for name in ("accepted", "duplicated", "unmatched"):
            assert REGISTRY.get_sample_value(f"edw_events_{name}_total", {"ingress": ingress.value}) is not None
        for reason in RefusalReason:
            labels = {"ingress": ingress.value, "reason": reason.value}
            assert REGISTRY.get_sample_value("edw_events_refused_total", labels) is not None


def test_nothing_offered_counts_nothing() -> None:
    counts = Counts(Ingress.HTTP)
    observe_accepted(Ingress.HTTP, [])
    assert counts.since == [0, 0, 0, 0]
