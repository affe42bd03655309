"""Events into the inbox."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.scene import LedgerScene
from tests.samples import SCOPE, an_event, an_integration
from worker.domain.event import Event, Scope
from worker.ledger import Acceptance, Ledger, LedgerFull, LedgerUnavailable, Verdict
from worker.ledger.connection.sync_redis_client import SyncRedisClient
from worker.ledger.events import inbox as intake_module
from worker.ledger.events.inbox import SyncInbox, rejection
from worker.ledger.pages import Cursor

MIB = 1024 * 1024


async def evalsha_calls(ledger: Ledger) -> int:
    stats = await raw.client(ledger).info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


async def test_an_event_is_in_the_inbox_once_it_is_accepted(scene: LedgerScene) -> None:
    assert await scene.ledger.inbox.accept([an_event()]) == [Acceptance.NEW]

    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("accepted"), status.events_balance) == (1, 1, 0)
    (stored,) = (await scene.ledger.inbox.load([an_event().ref])).events
    assert stored.event == an_event()
    assert stored.time.endswith("Z")


async def test_the_same_event_again_is_a_duplicate_and_happens_once(scene: LedgerScene) -> None:
    assert await scene.ledger.inbox.accept([an_event(), an_event()]) == [Acceptance.NEW, Acceptance.DUPLICATE]
    assert await scene.ledger.inbox.accept([an_event()]) == [Acceptance.DUPLICATE]

    assert (await scene.ledger.status.read()).inbox == 1
    assert (await scene.counter("accepted"), await scene.counter("duplicates")) == (1, 2)


async def test_the_same_event_again_is_a_duplicate_after_it_was_observed_and_delivered(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.SUCCEEDED)

    assert await scene.ledger.inbox.accept([an_event("e-1")]) == [Acceptance.DUPLICATE]
    assert (await scene.ledger.status.read()).inbox == 0


async def test_nothing_of_an_event_that_redis_lost_belongs_to_the_next_one_of_its_id(ledger: Ledger) -> None:
    # No audit follows: what Redis loses is not in the balance.
    scene = LedgerScene(ledger, lambda: ledger)
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], "i-1", "i-2", last=False)
    parts = [f"event:{stored.ref}:jobs", f"event:{stored.ref}:progress"]
    assert [await scene.key("EXISTS", part) for part in parts] == [1, 1]
    await scene.key("DEL", f"event:{stored.ref}")

    assert await ledger.inbox.accept([an_event("e-1")]) == [Acceptance.NEW]
    assert [await scene.key("EXISTS", part) for part in parts] == [0, 0]


async def test_an_event_whose_id_is_ours_has_nothing_to_be_deleted(scene: LedgerScene) -> None:
    async def deletions(event: Event) -> int:
        await raw.client(scene.ledger).config_resetstat()
        assert await scene.ledger.inbox.accept([event]) == [Acceptance.NEW]
        return int((await raw.client(scene.ledger).info("commandstats")).get("cmdstat_del", {}).get("calls", 0))

    assert await deletions(an_event("e-1")) == 1
    assert await deletions(replace(an_event("e-2"), made=True)) == 0


@pytest.mark.parametrize(
    "change",
    [{"data": b'{"n":2}'}, {"included": {"items": []}}, {"type": "order.created"}],
    ids=["data", "included", "type"],
)
async def test_the_same_id_with_other_content_is_said_to_differ_and_the_first_one_stays(
    scene: LedgerScene, change: dict[str, Any]
) -> None:
    await scene.ledger.inbox.accept([an_event()])
    assert await scene.ledger.inbox.accept([an_event(**change)]) == [Acceptance.DIFFERS]

    (stored,) = (await scene.ledger.inbox.load([an_event().ref])).events
    assert stored.event.raw == an_event().raw


async def test_nobody_sees_or_swallows_an_event_of_another_scope(scene: LedgerScene) -> None:
    scopes = [
        Scope("org-1", "store-1"),
        Scope("org-1", "store-2"),
        Scope("org-2", "store-1"),
        Scope("org-1", None),
        Scope(None, "org-1"),
        Scope(None, None),
        # One string could be read as the other, if names were only put together.
        Scope("a/b", "c"),
        Scope("a", "b/c"),
        Scope("a%2Fb", "c"),
    ]
    events = [an_event("the same id", scope) for scope in scopes]

    assert await scene.ledger.inbox.accept(events) == [Acceptance.NEW] * len(scopes)
    loaded = await scene.ledger.inbox.load([event.ref for event in events])
    assert [each.event.scope for each in loaded.events] == scopes


async def test_raw_bytes_come_back_as_they_came(scene: LedgerScene) -> None:
    data = '{"total":10.00,"n":123456789012345678901234567890,"name":"Zoë 🚲","b":1,"a":[]}'.encode()
    await scene.ledger.inbox.accept([an_event(data=data)])
    (stored,) = (await scene.ledger.inbox.load([an_event().ref])).events
    assert stored.event.data == data


async def test_large_events_go_and_come_in_batches_of_a_bounded_size(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "REPLY_BYTE_BUDGET", 2 * MIB)
    events = [an_event(f"e-{n}", data=b'{"x":"' + b"x" * MIB + b'"}') for n in range(6)]

    before = await evalsha_calls(scene.ledger)
    assert await scene.ledger.inbox.accept(events) == [Acceptance.NEW] * 6
    accepted = await evalsha_calls(scene.ledger)
    loaded = await scene.ledger.inbox.load([event.ref for event in events])
    after = await evalsha_calls(scene.ledger)

    assert [each.event.id for each in loaded.events] == [event.id for event in events]
    # No more than the budget, and one event at least.
    assert accepted - before == 6
    # The event that exceeds the budget is the last of its batch.
    assert after - accepted == 3


async def test_claims_stop_where_the_reply_has_grown_large_and_say_that_there_is_more(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.ledger.lanes import job_lanes as jobs_module

    monkeypatch.setattr(jobs_module, "REPLY_BYTE_BUDGET", 10)
    await scene.register("i-1", "i-2")
    await scene.owe("i-1", "e-1", "e-2")
    await scene.owe("i-2", "e-3")

    claimed = await scene.ledger.jobs.claim(["i-1", "i-2"], 10)
    claims, more = claimed.claims, claimed.more
    assert [claim.integration_id for claim in claims] == ["i-1"]
    assert more == ["i-1", "i-2"]
    await scene.ledger.jobs.release(claims)


async def test_an_event_that_several_claims_share_travels_once(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], "i-1", "i-2")
    claims = await scene.claim("i-1", "i-2")
    assert [claim.event for claim in claims] == [stored, stored]
    for claim in claims:
        await scene.settle(claim, Verdict.SUCCEEDED)


async def test_a_producer_without_a_loop_gets_the_same_answers(scene: LedgerScene, redis_server: RedisServer) -> None:
    sync = SyncRedisClient(redis_server.url, "0", scene.ledger.policy)
    sync.open()
    assert SyncInbox(sync).accept([an_event(), an_event(data=b"{}")]) == [Acceptance.NEW, Acceptance.DIFFERS]
    assert await scene.ledger.inbox.accept([an_event()]) == [Acceptance.DUPLICATE]
    sync.run("reject", entries=[rejection("f", "r", b"g", 1, "s")], rejected_cap=5)
    sync.client.script_flush()
    sync.run("reject", entries=[rejection("f", "r", b"g", 1, "s")], rejected_cap=5)
    assert len(await scene.ledger.inbox.rejected(10)) == 2
    redis_server.stop()
    with pytest.raises(LedgerUnavailable, match="does not answer"):
        SyncInbox(sync).accept([an_event()])
    redis_server.start()
    sync.close()


async def test_above_the_high_water_mark_events_are_refused_and_below_it_taken_again(
    ledger: Ledger, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.ledger.connection import redis_client as redis_client_module

    monkeypatch.setattr(redis_client_module, "MEMORY_SAMPLE_SECONDS", 0.0)
    sync = SyncRedisClient(redis_server.url, "0", ledger.policy)
    # Redis keeps scripts that it has seen, and they take memory.
    await ledger.integrations.put(an_integration())
    used = int((await raw.memory(ledger))["used_memory"])
    try:
        await raw.client(ledger).config_set("maxmemory", int(used / 0.9))
        with pytest.raises(LedgerFull, match="% of its memory limit; events are accepted again below 85%"):
            await ledger.inbox.accept([an_event()])
        with pytest.raises(LedgerFull, match="below 85%"):
            SyncInbox(sync).accept([an_event()])
        # The mark is not the limit: what is owed goes on, and so does the registry.
        await ledger.integrations.put(an_integration())

        await raw.client(ledger).config_set("maxmemory", used * 2)
        assert await ledger.inbox.accept([an_event()]) == [Acceptance.NEW]
        assert SyncInbox(sync).accept([an_event()]) == [Acceptance.DUPLICATE]
    finally:
        await raw.client(ledger).config_set("maxmemory", 0)
        sync.close()


async def test_memory_is_sampled_once_a_second_and_not_for_every_event(ledger: Ledger) -> None:
    async def asked() -> int:
        return int((await raw.client(ledger).info("commandstats")).get("cmdstat_info", {}).get("calls", 0))

    async def asked_for_five() -> int:
        await ledger.inbox.accept([an_event("e-0")])
        before = await asked()
        for n in range(5):
            await ledger.inbox.accept([an_event(f"e-{n}")])
        return await asked() - before - 1  # without the question itself

    # On a busy machine, a second may end meanwhile.
    assert 0 in [await asked_for_five() for _ in range(5)]


async def test_at_the_memory_limit_what_is_owed_goes_on_and_nothing_new_is_taken(
    scene: LedgerScene, make_redis: Callable[..., RedisServer]
) -> None:
    server = make_redis()
    # Far above the limit, so that only Redis itself refuses.
    full: Ledger = await scene.another(server.url, memory_high_water=100.0)
    dead: Ledger = await scene.another(server.url, memory_high_water=100.0)
    there = replace(scene, ledger=full)
    await there.register("i-1")
    await there.owe("i-1", "e-1", "e-2", "e-3", "e-4")
    (aside, unopened) = await there.publish("aside", "unopened")
    (lost,) = await there.claim("i-1", room=1, by=dead)
    await full.fleet.renew()
    used = int((await raw.memory(full))["used_memory"])
    await raw.client(full).config_set("maxmemory", used - 64 * 1024)

    with pytest.raises(LedgerFull, match="at its memory limit"):
        await full.inbox.accept([an_event("new")])
    with pytest.raises(LedgerFull):
        await full.integrations.put(an_integration("i-3"))
    with pytest.raises(LedgerFull):
        await there.open([unopened], "i-1")
    with pytest.raises(LedgerFull):
        await full.redelivery.redeliver([lost.job_id])

    await full.inbox.load([unopened.ref])
    await full.inbox.reject([rejection("", "r", b"g", 1, "s")])
    assert not await full.inbox.set_aside(aside.ref, aside.event.raw, "r", 1)
    first, second, third = await there.claim("i-1")
    assert await there.settle(first, Verdict.SUCCEEDED) == "settled"
    assert await there.settle(second, Verdict.RETRY, delay=3600) == "settled"
    assert await full.jobs.release([third]) == 1
    # die() would itself be refused by a full Redis.
    await raw.client(full).config_set("maxmemory", 0)
    await there.die(dead)
    await raw.client(full).config_set("maxmemory", used - 64 * 1024)
    (seized,) = await full.fleet.seize()
    assert await there.settle(seized, Verdict.FAILED, disable="answered 410") == "settled"
    assert not (await full.integrations.get(["i-1"]))[0].enabled
    assert await full.fleet.renew()
    await full.fleet.sweep()
    assert await full.integrations.delete("i-1")
    assert await full.fleet.expire() == 2
    assert await full.fleet.retire() == 0
    assert (await there.contents()).problems() == []


async def test_other_stores_of_one_server_are_other_shards(scene: LedgerScene, redis_server: RedisServer) -> None:
    other = Ledger(redis_server.url, scene.ledger.policy, shard="1")
    await other.open()
    assert await scene.ledger.inbox.accept([an_event()]) == [Acceptance.NEW]
    assert await other.inbox.accept([an_event()]) == [Acceptance.NEW]
    assert (await other.status.read()).inbox == 1
    assert (await other.integrations.page(SCOPE, 0, 10)).items == []
    await other.close()


async def test_an_event_with_the_longest_names_is_kept_and_found_like_any_other(scene: LedgerScene) -> None:
    """Scripts read the beginning of its record first, and more where the names are long."""
    scope, event_id = Scope("🚲" * 100, "🚲" * 100), "🚲" * 128
    event = an_event(event_id, scope)
    await scene.ledger.inbox.accept([event])
    (stored,) = (await scene.ledger.inbox.load([event.ref])).events
    assert (stored.event.id, stored.event.scope, stored.event.raw) == (event_id, scope, event.raw)
    await scene.open([stored])
    found = await scene.ledger.events.select(scope, Cursor(0), 10**15, ["order.paid"])
    assert list(found.refs) == [event.ref]
    await scene.retention_passes()
    assert f"events:{scope.key}" not in (await scene.contents()).scores
