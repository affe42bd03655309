"""Nothing in the ledger grows without an end: once all is over and forgotten, only counters are left."""

from dataclasses import replace

import pytest

from deliverers.exchange import SentRequest, WireRecord
from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import ELSEWHERE, SCOPE, an_event, an_integration, issue_token
from tests.waiting import eventually
from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.event import Ingress
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, Verdict
from worker.ledger import integration_repository as registry_module
from worker.ledger.events.inbox import OBSERVE_TRIES, rejection

#: What stays of an empty ledger: its format, its counters, what all backlogs take, the counters of each minute of a
#: day, and when it was last swept.
LEFT = {"meta", "counters", "backlog-bytes", "pulse", "swept"}
#: Counters of attempts by lane and day, which expire.
ACTIVITY = "activity:"
#: Retentions of the test (ms).
SHORT = 50


async def names(ledger: Ledger) -> set[str]:
    """Return the names of all keys."""
    prefix = raw.prefix(ledger)
    return {name.decode().removeprefix(prefix) for name in await raw.client(ledger).keys(f"{prefix}*")}


async def played(scene: LedgerScene) -> None:
    """Use every feature that stores something."""
    ledger = scene.ledger
    await ledger.membership.attend("worker")
    await ledger.fleet.renew()
    await scene.register("i-1", "i-2", "i-3", "paused", "broken")
    await scene.register("limited", rate_limit=1_000.0)
    await ledger.integrations.put(an_integration("elsewhere", scope=ELSEWHERE))
    await ledger.integrations.put(an_integration("paused", paused=True))
    # Accepted by every way in; some twice; one refused; one that nobody observes, one that nobody can.
    await scene.publish("unmatched", "unmatched")
    await scene.open([await _one(scene, "unmatched")])
    bad = await _one(scene, "bad")
    for _ in range(OBSERVE_TRIES):
        await scene.set_aside(bad)
    half = await _one(scene, "half")
    await scene.open([half], "i-1", last=False)
    for _ in range(OBSERVE_TRIES):
        await scene.set_aside(half)
    await raw.client(ledger).lpush(ledger.redis.intake, b"one", b"two")
    batch = await ledger.intake_list.take()
    refused = [rejection("type", "unknown", b"two", 1, "s")]
    await ledger.intake_list.accept(batch, 2, [an_event("by the queue")], refused)
    await scene.open([(await ledger.inbox.load([an_event("by the queue").ref])).events[0]], "i-2")
    await ledger.inbox.accept([an_event("of another", ELSEWHERE)], Ingress.HTTP)
    await scene.open([(await ledger.inbox.load([an_event("of another", ELSEWHERE).ref])).events[0]], "elsewhere")
    await ledger.inbox.admit(SCOPE, 1, 1_000)
    # Delivered, retried, exhausted, redelivered, found missing, cancelled by a full backlog, held, lost.
    await scene.owe("i-1", *(f"e-{n}" for n in range(20)))
    await scene.owe("limited", "slow")
    await scene.owe("paused", "held")
    claims = await scene.claim("i-1", "limited")
    for turn, claim in enumerate(claims):
        await scene.settle(claim, (Verdict.SUCCEEDED, Verdict.FAILED, Verdict.RETRY)[turn % 3], healthy=turn % 3 == 0)
    await ledger.redelivery.redeliver([each.job_id for each in claims], "mark")
    await ledger.redelivery.open_missing("i-3", [(job_id(bad.ref, "i-3"), bad.ref)])
    small = await scene.another(lane_backlog=1)
    await scene.open([await _one(scene, "overflow 1"), await _one(scene, "overflow 2")], "i-2", by=small)
    dead = await scene.another()
    await scene.owe("i-2", "of a dead process")
    await scene.claim("i-2", by=dead)
    await scene.die(dead)
    for claim in await ledger.fleet.seize():
        await scene.settle(claim, Verdict.RETRY, lost=True)
    await scene.give_up("broken")
    await ledger.integrations.announce_disabled("broken", [an_event("of the fleet", SCOPE)])
    await scene.open([(await ledger.inbox.load([an_event("of the fleet").ref])).events[0]])
    await ledger.fleet.sweep()
    await ledger.totals.sample(0.01)
    await scene.owe("i-1", "with an exchange")
    (failed,) = await scene.claim("i-1", room=1)
    made = settlement(failed, Verdict.RETRY)
    request = WireRecord(request=SentRequest("POST", "https://shop.example", ()))
    await ledger.jobs.settle([replace(made, log=replace(made.log, exchange=request))])
    await scene.owe("i-1", "to be erased")
    await ledger.erasure.erase(an_event("to be erased").ref)
    await issue_token(ledger)
    actor = Actor("0" * 16, "somebody")
    change = Change(actor, ChangeAction.INTEGRATION_UPDATED, SCOPE.key, "integration", "i-1", {}, {"name": "new"})
    await ledger.integrations.put(an_integration("i-1", name="new"), change=change)


async def _one(scene: LedgerScene, event_id: str) -> StoredEvent:
    (stored,) = await scene.publish(event_id)
    return stored


async def emptied(scene: LedgerScene) -> None:
    """Deliver or cancel all that is owed, and delete what people have made."""
    ledger = scene.ledger
    lanes = ("i-1", "i-2", "i-3", "limited", "elsewhere")
    for _ in range(4):
        for claim in (await ledger.jobs.claim(lanes, 100)).claims:
            await ledger.jobs.settle([settlement(claim, Verdict.SUCCEEDED)])
    for each in (*lanes, "paused", "broken"):
        await ledger.integrations.delete(each)
    while await ledger.fleet.expire():
        pass
    for token in await ledger.tokens.listing(0, 10):
        await ledger.tokens.revoke(token.id)
    while notices := (await ledger.fleet.sweep()).notices:
        for notice in notices:
            await ledger.notices.publish(notice, [])
    await raw.command(ledger, "DEL", "rejected")
    await ledger.fleet.retire()
    await ledger.membership.leave("worker")


async def test_of_a_ledger_that_was_used_and_emptied_only_counters_are_left(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "SCOPE_RETENTION", SHORT)
    short = await scene.another(event_retention=SHORT, log_retention=SHORT, audit_retention=SHORT)
    brief = LedgerScene(short, scene.another)
    await played(brief)
    assert len(await names(short)) > 50
    await emptied(brief)
    status = await short.status.read()
    assert (status.inbox, status.pending, status.events_balance, status.jobs_balance) == (0, 0, 0, 0)

    async def only_counters_are_left() -> bool:
        await short.fleet.forget()
        await short.fleet.seize()
        return {name for name in await names(short) if not name.startswith(ACTIVITY)} <= LEFT

    await eventually(only_counters_are_left, "only counters are left")
    assert int(await raw.command(short, "GET", "backlog-bytes")) == 0
    for name in await names(short):
        assert not name.startswith(ACTIVITY) or await raw.command(short, "PTTL", name) > 0


async def test_an_index_holds_nothing_that_is_forgotten_while_others_are_owed(scene: LedgerScene) -> None:
    await scene.register("i-1")
    for turn in range(3):
        await scene.owe("i-1", *(f"{turn}-{n}" for n in range(50)))
        claims = await scene.claim("i-1", room=49)
        await scene.ledger.jobs.settle([settlement(each, Verdict.SUCCEEDED) for each in claims])
        await scene.retention_passes()
    contents = await scene.contents()
    assert set(contents.scores["jobs:i-1"]) == set(contents.jobs) == contents.pending
    assert set(contents.scores[f"events:{SCOPE.key}"]) == set(contents.events)
    assert "ended" not in contents.lists


async def test_an_event_of_many_jobs_is_kept_until_the_last_of_them_is_forgotten(scene: LedgerScene) -> None:
    lanes = [f"i-{n}" for n in range(5)]
    await scene.register(*lanes)
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], *lanes)
    claims = await scene.claim(*lanes)
    for claim in claims[:-1]:
        await scene.settle(claim, Verdict.SUCCEEDED)
    await scene.settle(claims[-1], Verdict.RETRY, delay=HOUR)
    await scene.retention_passes()
    assert await scene.is_kept(stored.ref)
    # One that has ended again is the last one now, although another end closed the event before.
    await scene.ledger.redelivery.redeliver([claims[-1].job_id])
    (last,) = await scene.claim(*lanes)
    await scene.settle(last, Verdict.SUCCEEDED)
    await scene.ledger.redelivery.redeliver([last.job_id])
    await scene.retention_passes()
    assert await scene.is_kept(stored.ref)
    (again,) = await scene.claim(*lanes)
    assert again.event == stored
    await scene.settle(again, Verdict.SUCCEEDED)
    await scene.retention_passes()
    assert not await scene.is_kept(stored.ref)


async def test_an_event_is_kept_for_a_job_that_was_reopened_after_the_event_had_ended_with_another(
    scene: LedgerScene,
) -> None:
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], "i-1", "i-2")
    first, last = await scene.claim("i-1", "i-2")
    await scene.settle(first, Verdict.SUCCEEDED)
    await scene.settle(last, Verdict.SUCCEEDED)
    await scene.ledger.redelivery.redeliver([first.job_id])
    await scene.retention_passes()
    (again,) = await scene.claim("i-1", "i-2")
    assert (again.job_id, again.event) == (first.job_id, stored)
    await scene.settle(again, Verdict.SUCCEEDED)


async def test_an_end_that_no_longer_counts_holds_up_no_other(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.FAILED)
    await scene.ledger.redelivery.redeliver([claim.job_id])
    (again,) = await scene.claim("i-1")
    await scene.settle(again, Verdict.FAILED)
    assert await scene.ledger.fleet.forget() == 1
    assert await scene.is_kept(claim.event_ref)
