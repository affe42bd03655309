"""A played day: stores with integrations, of which some fail, with the attempts of the last 24 hours."""

from dataclasses import dataclass, replace
from math import sin
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from deliverers.exchange import PhaseTimes, WireRecord, received_answer, sent_request
from tests.console.stage import OTHER, STORE, Stage
from tests.ledger.planting import plant_activity, plant_pulse
from tests.ledger.scene import settlement
from tests.samples import an_event, an_integration
from worker.domain.change import Actor, Change, ChangeAction, integration_change
from worker.domain.event import Event, Scope
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.ledger import Ledger, Verdict
from worker.ledger.events.inbox import rejection
from worker.ledger.lanes.claims import Opening

EXPIRED = "certificate expired on 2026-11-27"
SILENT = "no answer within 10 s (connected, waiting for it)"
ANSWER = '{"status": "accepted", "reference": "PO-10392", "warnings": []}'
ORDER = (
    b'{"type": "order", "id": "123", "status": "paid", "total": {"amount": 10.00, "currency": "EUR"}, '
    b'"items": [{"sku": "MUG-BLUE", "quantity": 2, "price": 5.00}], '
    b'"customer": {"name": "Ada Lovelace", "email": "ada@example.com"}}'
)


@dataclass(frozen=True, slots=True)
class Part:
    """An integration of the play: its name, where it is, how it fails, and how busy it is (attempts an hour)."""

    number: int
    name: str
    url: str
    scope: Scope = STORE
    why: str = ""
    busy: int = 60
    bucket: int = 0
    #: What it observes; what is not `order.paid` gets no event of the play.
    observes: str = "order.paid"
    #: Whether a person disables it before the first event.
    switched_off: bool = False

    @property
    def id(self) -> str:
        return str(UUID(int=0xE0_0000_0000_4000_8000_0000_0000_0000 + self.number))

    @property
    def is_sent_to(self) -> bool:
        return self.observes == "order.paid" and not self.switched_off


PARTS = (
    Part(1, "ERP", "https://erp.acme.example/hooks/orders", why=EXPIRED, busy=140, bucket=2),
    Part(2, "Warehouse", "https://wms.acme.example/events", busy=90, bucket=1),
    Part(3, "Mailing list", "https://mail.example/in/7f3a", busy=35),
    Part(4, "Analytics", "https://collect.metrics.example/v1", busy=400),
    Part(
        5,
        "Search index",
        "https://index.acme.example/sync",
        why="no answer within 10 s (connected, waiting for it)",
        bucket=5,
    ),
    Part(6, "Accounting", "https://books.example/webhooks/acme", busy=12, bucket=3),
    Part(7, "Loyalty", "https://points.example/hook", why="answered 500 Internal Server Error", busy=44, bucket=1),
    Part(8, "ERP", "https://erp.globex.example/hooks", OTHER, EXPIRED, 70),
    Part(9, "Fulfilment", "https://ship.globex.example/in", OTHER, busy=50),
    Part(10, "Storefront cache", "https://cache.acme.example/purge", busy=220),
    Part(11, "Old ERP", "https://erp-2019.acme.example/hook", busy=0, switched_off=True),
    Part(12, "Price list", "https://prices.acme.example/in", busy=20, observes="product.updated"),
)
#: The event that an operator is asked about.
EVENT_ID = "order-123-paid"
#: The person who made and changed the integrations.
AUTHOR = Actor("5a1b9c2d3e4f6071", "Anna, back office")


async def play(ledger: Ledger) -> None:
    """Write the day into an empty ledger."""
    random = Random(7)
    for part in PARTS:
        made = an_integration(
            part.id, scope=part.scope, name=part.name, configuration={"url": part.url}, observes=(part.observes,)
        )
        kept = await ledger.integrations.put(made, change=_change(ChangeAction.INTEGRATION_CREATED, None, made))
        if part.switched_off:
            off = replace(kept.integration, enabled=False)
            change = _change(ChangeAction.INTEGRATION_UPDATED, made, off)
            await ledger.integrations.put(off, renewed=False, change=change)
    for scope in (STORE, OTHER):
        await _deliver(ledger, scope, [part for part in PARTS if part.scope == scope and part.is_sent_to])
    for part in PARTS:
        hours = [int(part.busy * (1 + 0.6 * sin(hour / 3.8)) * random.uniform(0.8, 1.2)) for hour in range(24)]
        failing = 3 if part.why else 0
        counts = [(each, each if 24 - failing <= hour else each // 60) for hour, each in enumerate(hours)]
        await plant_activity(ledger, part.id, counts, part.bucket)
    await _disable_last(ledger)
    await plant_pulse(ledger, _pulse(random))
    text = b'{"type": "order.payed", "store_id": "store-7", "org_id": "acme", "data": {"type": "order", "id": "124"}}'
    why = 'unknown observable key "order.payed"; the nearest known keys are order.paid, order.created, order.updated'
    now = (await ledger.membership.read()).now
    await ledger.inbox.reject([rejection("type", why, text, now - 400_000, "queue edw.intake")])


async def _deliver(ledger: Ledger, scope: Scope, parts: list[Part]) -> None:
    """Three events: two failures of the failing receivers, then one attempt of each other receiver."""
    for number in range(6):
        event = _event(EVENT_ID if number == 5 else f"order-{118 + number}-paid", scope)
        await ledger.inbox.accept([event])
        (stored,) = (await ledger.inbox.load([event.ref])).events
        openings = [Opening(job_id(event.ref, part.id), part.id) for part in parts]
        opened = await ledger.jobs.open([(stored, openings, True)], room=100)
        by_id = {part.id: part for part in parts}
        await ledger.jobs.settle([_settled(each, by_id[each.integration_id], number) for each in opened.claims])
    # The first failing receiver is tried two more times for the last event.
    failing = next(part for part in parts if part.why)
    for _ in range(2):
        await ledger.redelivery.redeliver([job_id(_event(EVENT_ID, scope).ref, failing.id)])
        claimed = await ledger.jobs.claim([failing.id], 1)
        await ledger.jobs.settle([_settled(each, failing, 5) for each in claimed.claims])


def _settled(claim: Any, part: Part, number: int) -> Any:
    if part.why and number:
        verdict = Verdict.FAILED if number == 5 and part.number == 7 else Verdict.RETRY
        made = settlement(claim, verdict, delay=240, detail=part.why, healthy=False, why=part.why)
        status = 500 if "500" in part.why else None
        log = replace(
            made.log,
            status_code=status,
            body="upstream connect error" if status else "",
            processing_time=0.061 if part.why == EXPIRED else 1.8,
        )
    else:
        made = settlement(claim, Verdict.SUCCEEDED, healthy=True)
        log = replace(made.log, body=ANSWER, processing_time=(40, 180, 400, 800, 2000, 5000)[part.bucket] / 1000)
    event = claim.event.event
    exchange = _exchange(part, log.status_code, log.processing_time, claim.event)
    return replace(made, log=replace(log, event_id=event.id, event_type=event.type, exchange=exchange))


def _exchange(part: Part, status: int | None, seconds: float, stored: Any) -> WireRecord:
    """What an attempt sent and got: an expired certificate ends the handshake, so nothing was sent."""
    times = PhaseTimes(0.0021, 0.0184, 0.0412, max(0.01, seconds - 0.07))
    if part.why == EXPIRED:
        times = PhaseTimes(0.0021, 0.0184)
    lines = [
        ("Host", urlsplit(part.url).netloc),
        ("Content-Type", "application/json"),
        ("X-MOLTIN-SECRET-KEY", "correct-horse-battery"),
        ("X-MOLTIN-INTEGRATION-TRIGGER", "order.paid"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("User-Agent", "event-delivery-worker"),
    ]
    request = sent_request("POST", part.url, lines, len(stored.event.raw), "203.0.113.7")
    head = [("Content-Type", "application/json"), ("Server", "nginx/1.27"), ("Date", "Sun, 29 Nov 2026 02:14:06 GMT")]
    reason = {200: "OK", 500: "Internal Server Error"}
    answer = received_answer(f"HTTP/1.1 {status} {reason[status]}", head) if status else None
    return WireRecord(times, request, answer)


def _change(action: ChangeAction, before: Integration | None, after: Integration) -> Change:
    return integration_change(AUTHOR, action, before, after)


def _event(event_id: str, scope: Scope) -> Event:
    return an_event(event_id, scope, ORDER)


async def _disable_last(ledger: Ledger) -> None:
    (found,) = await ledger.integrations.get([PARTS[5].id])
    await ledger.integrations.put(replace(found, enabled=False, disabled_reason="answered 410 Gone"), renewed=False)


def _pulse(random: Random) -> list[tuple[int, ...]]:
    lines: list[tuple[int, ...]] = []
    accepted = attempts = 0
    for minute in range(60):
        events = int(60 * (42 + 18 * sin(minute / 9) + random.uniform(-4, 4)))
        accepted, attempts = accepted + events, attempts + int(events * 1.9)
        lines.append((accepted, attempts, attempts, max(0, int(random.gauss(6, 8))), 120))
    return lines


def played(stage: Stage) -> Stage:
    """Play the day on a stage, and return the stage."""
    stage.do(play(stage.api.ledger))
    return stage


async def be_present(ledger: Ledger, *, described: bool) -> None:
    """Be a worker that is alive, for a moment; `described` also with its build, which ends the played charts."""
    await ledger.fleet.renew()
    if described:
        await ledger.membership.attend("worker", "0.1.0", 0.003)
