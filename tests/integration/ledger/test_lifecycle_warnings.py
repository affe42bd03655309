"""Lifecycle events that warn people: one for each transition, and none about the delivery of such an event."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from config.observable_events import load_catalogue
from deliverers.registry import DelivererRegistry
from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, dispatch_of, settlement
from tests.samples import ELSEWHERE, SCOPE, an_event, an_integration
from worker.domain.event import rfc3339
from worker.domain.job import job_id
from worker.domain.lifecycle import LIFECYCLE_KEYS, WARNINGS
from worker.domain.secrets_box import SecretsBox
from worker.integrations.lifecycle_events import LifecycleEvents
from worker.integrations.outbox_relay import OutboxRelay
from worker.ledger import Ledger, LedgerFault, Verdict
from worker.ledger.policy import BrokenPolicy

LANE = "i-1"
AFTER = 1_000_000
POLICY = BrokenPolicy(after=AFTER, attempts=2, words="5 d")
#: The types of events, except those of the scene's own orders.
PLAIN = "order.paid"


@pytest.fixture
async def fleet(scene: LedgerScene) -> LedgerScene:
    strict = await scene.another(broken=POLICY)
    await scene.register(LANE, name="ERP")
    return LedgerScene(strict, scene.another, scene.outstanding)


def relay_of(ledger: Ledger) -> OutboxRelay:
    events = LifecycleEvents(DelivererRegistry.load(), load_catalogue(), SecretsBox(()), "https://edw.example")
    return OutboxRelay(ledger.integrations, ledger.notices, events, lambda _: None)


async def published(scene: LedgerScene, *others: Ledger) -> list[tuple[str, dict[str, Any]]]:
    """What all processes publish that sweep at the same time: (type, data), the oldest first."""
    ledgers = (scene.ledger, *others)
    before = {each.ref for each in (await scene.ledger.events.page(SCOPE, 0, 1000)).items}
    found = await asyncio.gather(*(each.fleet.sweep() for each in ledgers))
    await asyncio.gather(*(relay_of(each).publish(sweep) for each, sweep in zip(ledgers, found, strict=True)))
    new = [each.ref for each in (await scene.ledger.events.page(SCOPE, 0, 1000)).items if each.ref not in before]
    stored = await scene.ledger.events.stored(new) if new else []
    return [
        (each.event.type, msgspec.json.decode(each.event.data))
        for each in sorted(stored, key=lambda each: each.sequence)
    ]


async def attempt(scene: LedgerScene, healthy: bool, verdict: Verdict = Verdict.RETRY, **how: Any) -> str:
    """One attempt on a job of its own; returns the job."""
    (job,) = await scene.owe(LANE, f"e-{await scene.counter('accepted')}")
    await end(scene, healthy, verdict, PLAIN, **how)
    return job


async def end(scene: LedgerScene, healthy: bool, verdict: Verdict, event_type: str, **how: Any) -> None:
    (claim,) = await scene.claim(LANE, room=1)
    made = settlement(claim, Verdict.SUCCEEDED if healthy else verdict, healthy=healthy, delay=HOUR, **how)
    await scene.ledger.jobs.settle([replace(made, log=replace(made.log, event_type=event_type))])


async def failing_for(scene: LedgerScene, part: float) -> int:
    """The first failure was so long ago; returns when."""
    since = await raw.now(scene.ledger) - round(part * AFTER)
    await scene.key("HSET", f"lane:{LANE}", "failing_since", since)
    return since


async def test_a_receiver_that_fails_is_reported_at_each_warning_and_when_it_recovers(fleet: LedgerScene) -> None:
    other = await fleet.another(broken=POLICY)
    await attempt(fleet, healthy=False, why="answered 500")
    await attempt(fleet, healthy=False, why="answered 500")
    assert await published(fleet, other) == []
    first = since = await failing_for(fleet, 0.51)
    for _ in range(2):
        await attempt(fleet, healthy=False, why="answered 503")
    ((key, data),) = await published(fleet, other)
    assert key == "integration.failing"
    assert data == {
        "type": "integration",
        "id": LANE,
        "name": "ERP",
        "integration_type": "webhook",
        "enabled": True,
        "since": rfc3339(since),
        "disabled_at": rfc3339(since + AFTER),
        "attempts": 3,
        "percent": 50,
        "reason": "answered 503",
        "links": {"console": f"https://edw.example/console/integrations/{LANE}?org=org-1&store=store-1"},
    }
    since = await failing_for(fleet, 0.95)
    await attempt(fleet, healthy=False, why="answered 500")
    assert [(key, data["percent"]) for key, data in await published(fleet, other)] == [("integration.failing", 90)]

    await attempt(fleet, healthy=True)
    await attempt(fleet, healthy=True)
    ((key, data),) = await published(fleet, other)
    # It was in trouble since when the first warning said.
    assert (key, data["name"], data["since"]) == ("integration.recovered", "ERP", rfc3339(first))
    assert await published(fleet, other) == []


async def test_a_short_failure_is_neither_reported_nor_is_its_end(fleet: LedgerScene) -> None:
    for healthy in (False, False, True):
        await attempt(fleet, healthy=healthy)
    assert await published(fleet) == []


async def test_a_disabled_integration_is_reported_with_its_reason_and_recovers_when_it_works_again(
    fleet: LedgerScene,
) -> None:
    other = await fleet.another(broken=POLICY)
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED, disable="answered 410 Gone", why="answered 410 Gone")
    found = dict(await published(fleet, other))
    assert set(found) == {"integration.updated", "integration.disabled", "job.exhausted"}
    data = found["integration.disabled"]
    assert (data["reason"], data["enabled"]) == ("answered 410 Gone", False)
    # A person changes the receiver and enables it; its first success says that it works.
    await fleet.ledger.integrations.put(an_integration(LANE))
    await attempt(fleet, healthy=True)
    assert [key for key, _ in await published(fleet, other)] == ["integration.recovered"]


async def test_nothing_but_failures_disable_it_and_say_so(fleet: LedgerScene) -> None:
    for _ in range(2):
        await attempt(fleet, healthy=False, why="answered 500")
    since = await failing_for(fleet, 1.0)
    await attempt(fleet, healthy=False, why="answered 500")
    found = dict(await published(fleet))
    assert set(found) == {"integration.updated", "integration.disabled"}
    data = found["integration.disabled"]
    assert (data["since"], data["attempts"]) == (rfc3339(since), 3)
    assert data["reason"] == "nothing but failures for 5 d, in 3 attempts; the last one: answered 500"


async def test_jobs_that_failed_for_good_are_reported_once_a_minute_with_their_number(fleet: LedgerScene) -> None:
    other = await fleet.another()
    first = await attempt(fleet, healthy=False, verdict=Verdict.FAILED, why="answered 500")
    ((key, data),) = await published(fleet, other)
    assert (key, data["count"], data["reason"]) == ("job.exhausted", 1, "answered 500")
    assert data["last_job"] == {"type": "integration-job", "id": first}
    # However slow the machine is, the minute after that event is not over.
    await fleet.key("HSET", f"lane:{LANE}", "exhausted_at", await raw.now(fleet.ledger) + 3_600_000)
    last = [await attempt(fleet, healthy=False, verdict=Verdict.FAILED, why=f"answered 50{n}") for n in range(3)][-1]
    (expired,) = await fleet.owe(LANE, "expired")
    await fleet.overdue(expired)
    assert await fleet.ledger.fleet.expire() == 1
    assert await published(fleet, other) == []
    due = float(await fleet.key("ZSCORE", "exhausted", LANE))
    assert due == 60_000 + float(await fleet.key("HGET", f"lane:{LANE}", "exhausted_at"))
    await fleet.key("ZADD", "exhausted", 1, LANE)
    ((key, data),) = await published(fleet, other)
    assert (key, data["count"], data["reason"]) == ("job.exhausted", 4, "its time was over")
    assert data["last_job"]["id"] == expired != last
    assert await fleet.key("ZCARD", "exhausted") == 0


async def test_jobs_that_fail_while_an_event_is_published_wait_for_the_next_one(fleet: LedgerScene) -> None:
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED)
    sweep = await fleet.ledger.fleet.sweep()
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED)
    await relay_of(fleet.ledger).publish(sweep)
    await fleet.key("ZINCRBY", "exhausted", 3_600_000, LANE)
    assert await published(fleet) == []
    assert await fleet.key("HGET", f"lane:{LANE}", "exhausted") == b"1"
    await fleet.key("ZADD", "exhausted", 1, LANE)
    assert [data["count"] for _, data in await published(fleet)] == [1]


async def test_a_backlog_that_fills_is_reported_at_each_warning(fleet: LedgerScene) -> None:
    other = await fleet.another(lane_backlog=10)
    fleet = LedgerScene(other, fleet.another)
    await fleet.owe(LANE, *(f"e-{n}" for n in range(4)))
    assert await published(fleet, other) == []
    await fleet.owe(LANE, "half")
    ((key, data),) = await published(fleet, other)
    assert (key, data["percent"], data["jobs"], data["jobs_most"]) == ("backlog.filling", 50, 5, 10)
    await fleet.owe(LANE, *(f"f-{n}" for n in range(4)))
    assert [(key, data["percent"]) for key, data in await published(fleet, other)] == [("backlog.filling", 90)]


async def test_the_delivery_of_a_lifecycle_event_raises_none(fleet: LedgerScene) -> None:
    for number, key in enumerate(sorted(LIFECYCLE_KEYS)):
        event = an_event(f"l-{number}", type=key)
        await fleet.ledger.inbox.accept([event])
        stored = (await fleet.ledger.inbox.load([event.ref])).events
        await fleet.open(stored, LANE)
        await end(fleet, healthy=False, verdict=Verdict.FAILED, event_type=key, why="answered 500")
    await failing_for(fleet, 0.95)
    event = an_event("last", type="job.exhausted")
    await fleet.ledger.inbox.accept([event])
    await fleet.open((await fleet.ledger.inbox.load([event.ref])).events, LANE)
    await end(fleet, healthy=False, verdict=Verdict.RETRY, event_type="job.exhausted")
    assert await published(fleet) == []
    # Another event's failure is reported all the same.
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED)
    assert sorted(key for key, _ in await published(fleet)) == ["integration.failing", "job.exhausted"]
    # Its deadline, its success, its backlog and its disabling raise none either.
    many = [an_event(f"m-{number}", type="backlog.filling") for number in range(9)]
    await fleet.ledger.inbox.accept(many)
    stored = (await fleet.ledger.inbox.load([event.ref for event in many])).events
    await fleet.open(stored, LANE, by=await fleet.another(lane_backlog=10))
    await fleet.key("ZADD", "exhausted", 1, LANE)
    await fleet.overdue(job_id(many[0].ref, LANE))
    await fleet.ledger.fleet.expire()
    await end(fleet, healthy=True, verdict=Verdict.SUCCEEDED, event_type="backlog.filling")
    await end(fleet, healthy=False, verdict=Verdict.FAILED, event_type="backlog.filling", disable="answered 410")
    assert [key for key, _ in await published(fleet)] == ["integration.updated"]


async def test_the_events_belong_to_the_integrations_store_and_nobody_else_gets_them(fleet: LedgerScene) -> None:
    await fleet.register("ours", observes=tuple(WARNINGS))
    await fleet.register("theirs", observes=tuple(WARNINGS), scope=ELSEWHERE)
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED)
    await published(fleet)
    (event,) = [each for each in (await fleet.ledger.events.page(SCOPE, 0, 10)).items if each.type == "job.exhausted"]
    await dispatch_of(fleet.ledger).observe([event.ref])
    assert await fleet.jobs_of(event.ref) == [job_id(event.ref, "ours")]
    assert (await fleet.ledger.events.page(ELSEWHERE, 0, 10)).total == 0


async def test_what_a_deleted_integration_left_in_the_outbox_is_dropped(fleet: LedgerScene) -> None:
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED, disable="answered 410")
    await fleet.ledger.integrations.delete(LANE)
    assert await published(fleet) == []
    assert await fleet.key("LLEN", "notices") == 0
    assert await fleet.key("ZCARD", "exhausted") == 0


async def test_what_cannot_be_published_now_stays_in_the_outbox(fleet: LedgerScene) -> None:
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED, disable="answered 410")
    index = f"events:{SCOPE.key}"
    relay, sweep = relay_of(fleet.ledger), await fleet.ledger.fleet.sweep()
    kept = await fleet.key("DUMP", index)
    await fleet.key("SET", index, "damaged")
    for part in (
        msgspec.structs.replace(sweep, notices=[], exhausted=[]),
        msgspec.structs.replace(sweep, unannounced=[], exhausted=[]),
        msgspec.structs.replace(sweep, unannounced=[], notices=[]),
    ):
        with pytest.raises(LedgerFault):
            await relay.publish(part)
    await fleet.key("RESTORE", index, 0, kept, "REPLACE")
    assert sorted(key for key, _ in await published(fleet)) == [
        *("integration.disabled", "integration.updated", "job.exhausted"),
    ]


async def test_a_notice_of_a_newer_version_is_left_to_it(fleet: LedgerScene) -> None:
    await fleet.key("RPUSH", "notices", '{"kind":"renamed","lane":"i-1","at":1}')
    await attempt(fleet, healthy=False, verdict=Verdict.FAILED, disable="answered 410")
    assert {key for key, _ in await published(fleet)} >= {"integration.disabled"}
    assert await fleet.key("LLEN", "notices") == 1


async def test_a_certificate_that_runs_out_is_reported_once_however_many_see_it(fleet: LedgerScene) -> None:
    other = await fleet.another(broken=POLICY)
    ends = await raw.now(fleet.ledger) + 3_600_000
    for ledger in (fleet.ledger, other, fleet.ledger):
        await ledger.notices.note_ending(LANE, "client_certificate", ends)
    ((key, data),) = await published(fleet, other)
    assert (key, data["id"], data["name"]) == ("integration.certificate_ending", LANE, "ERP")
    assert (data["field"], data["ends_at"]) == ("client_certificate", rfc3339(ends))
    await fleet.ledger.notices.note_ending(LANE, "client_certificate", ends)
    assert await published(fleet, other) == []

    # The one that replaces it is another transition.
    await fleet.ledger.notices.note_ending(LANE, "client_certificate", ends + 1000)
    assert [data["ends_at"] for _, data in await published(fleet)] == [rfc3339(ends + 1000)]


async def test_of_an_integration_that_is_gone_no_certificate_is_reported(fleet: LedgerScene) -> None:
    await fleet.ledger.notices.note_ending("i-gone", "client_certificate", 1)
    assert await published(fleet) == []
    assert await fleet.key("EXISTS", "lane:i-gone") == 0
