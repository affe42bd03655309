"""Integrations: written by people, read as snapshots, and never read too old."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.ledger import raw
from tests.ledger.scene import LedgerScene
from tests.samples import SCOPE, an_event, an_integration
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.job import JobState
from worker.domain.matching import Snapshot
from worker.ledger import Ledger, Verdict
from worker.ledger import integration_repository as registry_module
from worker.ledger.integration_repository import RevisionConflict, TooManyIntegrations
from worker.ledger.policy import JOBS_PER_CALL


async def snapshot(ledger: Ledger) -> Snapshot:
    """What a process that knows nothing reads."""
    return await ledger.integrations.refresh(Snapshot(SCOPE))


def same(one: Snapshot, other: Snapshot) -> bool:
    def by_key(each: Snapshot) -> dict[str, set[str]]:
        return {key: set(ids) for key, ids in each.by_key.items()}

    return (one.version, one.by_id, by_key(one)) == (other.version, other.by_id, by_key(other))


async def test_an_integration_comes_back_as_it_was_written(scene: LedgerScene) -> None:
    written = an_integration(
        description="Zoë's ERP",
        observes=("order.paid", "order.created"),
        configuration={"url": "https://shop.example", "secret_key": "sealed:x", "list": [1, {"a": None}]},
    )
    kept = (await scene.ledger.integrations.put(written, expect=0)).integration
    (found,) = await scene.ledger.integrations.get(["i-1", "no such"])
    now = await raw.now(scene.ledger)
    assert abs(found.created_at - now) < 60_000
    assert found == kept == replace(written, revision=1, created_at=found.created_at, updated_at=found.created_at)


async def test_an_update_keeps_the_time_of_creation_and_grows_the_revision(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.key("HSET", "integration:i-1", "created_at", 5)
    kept = (await scene.ledger.integrations.put(an_integration(name="new"), expect=1)).integration
    (found,) = await scene.ledger.integrations.get(["i-1"])
    assert (found.name, found.created_at, found.revision) == ("new", 5, 2)
    assert found.updated_at > 5
    assert found == kept


@pytest.mark.parametrize("expect", [0, 2, 7])
async def test_a_change_that_was_based_on_another_revision_is_refused(scene: LedgerScene, expect: int) -> None:
    await scene.register("i-1")
    with pytest.raises(RevisionConflict, match="i-1"):
        await scene.ledger.integrations.put(an_integration(name="new"), expect=expect)
    (found,) = await scene.ledger.integrations.get(["i-1"])
    assert (found.name, found.revision) == ("name of i-1", 1)


async def test_an_update_of_what_was_deleted_meanwhile_is_refused(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.ledger.integrations.delete("i-1")
    with pytest.raises(RevisionConflict):
        await scene.ledger.integrations.put(an_integration(), expect=1)
    assert await scene.ledger.integrations.get(["i-1"]) == []


async def test_a_snapshot_learns_of_every_kind_of_change(scene: LedgerScene) -> None:
    registry = scene.ledger.integrations
    await scene.register("kept", "changed", "disabled", "by the worker", "deleted")
    old = await snapshot(scene.ledger)
    assert set(old.matching("order.paid")) == {"kept", "changed", "disabled", "by the worker", "deleted"}

    await registry.put(an_integration("changed", observes=("order.created",)))
    await registry.put(an_integration("disabled", enabled=False))
    await scene.give_up("by the worker")
    await registry.delete("deleted")
    await registry.put(an_integration("new"))
    refreshed = await registry.refresh(old)
    assert set(refreshed.matching("order.paid")) == {"kept", "new"}
    assert refreshed.matching("order.created") == ("changed",)
    assert "deleted" not in refreshed.by_id
    assert same(refreshed, await snapshot(scene.ledger))
    # What has not moved is not read again.
    assert await registry.refresh(refreshed) is refreshed


@pytest.mark.parametrize("change", ["put", "disabled by a person", "disabled by the worker", "deleted"])
async def test_a_snapshot_learns_of_a_change_that_is_the_only_one(scene: LedgerScene, change: str) -> None:
    registry = scene.ledger.integrations
    await scene.register("i-1")
    old = await snapshot(scene.ledger)
    match change:
        case "put":
            await registry.put(an_integration(observes=("order.created",)))
        case "disabled by a person":
            await registry.put(an_integration(enabled=False))
        case "disabled by the worker":
            await scene.give_up("i-1")
        case _:
            await registry.delete("i-1")
    refreshed = await registry.refresh(old)
    assert refreshed.version > old.version
    assert refreshed.matching("order.paid") == ()


async def test_events_carry_the_version_that_a_snapshot_must_have(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.ledger.inbox.accept([an_event()])
    loaded = await scene.ledger.inbox.load([an_event().ref])
    assert loaded.versions == {SCOPE.key: (await snapshot(scene.ledger)).version}


async def test_a_change_in_one_scope_is_none_in_another(scene: LedgerScene) -> None:
    await scene.register("i-1")
    known = await snapshot(scene.ledger)
    await scene.ledger.integrations.put(an_integration("i-2", scope=Scope("org-1", "store-2")))
    await scene.ledger.integrations.put(an_integration("i-3", scope=Scope("org-1", None)))
    assert await scene.ledger.integrations.refresh(known) is known
    organisation = await scene.ledger.integrations.refresh(Snapshot(Scope("org-1")))
    assert organisation.matching("order.paid") == ("i-3",)


async def test_a_snapshot_that_missed_more_deletions_than_are_remembered_is_read_whole(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "TOMBSTONES", 2)
    await scene.register(*(f"i-{n}" for n in range(6)))
    old = await snapshot(scene.ledger)
    for n in range(5):
        await scene.ledger.integrations.delete(f"i-{n}")
        recent = await snapshot(scene.ledger)
    refreshed = await scene.ledger.integrations.refresh(old)
    assert refreshed.matching("order.paid") == ("i-5",)
    assert same(refreshed, recent)
    assert await scene.key("ZCARD", f"scope:{SCOPE.key}:gone") == 2
    assert await scene.key("ZCARD", f"scope:{SCOPE.key}:changes") == 3


async def test_a_snapshot_from_before_redis_lost_its_memory_is_read_whole(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    await scene.key("HSET", f"scope:{SCOPE.key}", "version", 2**50)
    ahead = await scene.ledger.integrations.refresh(Snapshot(SCOPE))
    await raw.client(scene.ledger).flushall()
    await scene.ledger.open()
    await scene.register("i-3")
    assert (await scene.ledger.integrations.refresh(ahead)).matching("order.paid") == ("i-3",)


async def test_no_version_is_one_that_an_earlier_life_of_redis_has_used(scene: LedgerScene) -> None:
    """A snapshot must not take the new registry for the one that it knows."""
    await scene.register("i-1")
    before = await snapshot(scene.ledger)
    await raw.client(scene.ledger).flushall()
    await scene.ledger.open()
    await scene.register("i-2")
    after = await scene.ledger.integrations.refresh(before)
    assert after.version > before.version
    assert "i-2" in after.by_id


async def test_two_changes_in_one_millisecond_have_two_versions_even_where_a_clock_went_back(
    scene: LedgerScene,
) -> None:
    await scene.register("i-1")
    await scene.key("HSET", f"scope:{SCOPE.key}", "version", 2**50)
    first = await snapshot(scene.ledger)
    await scene.give_up("i-1")
    second = await scene.ledger.integrations.refresh(first)
    assert second.version == 2**50 + 1
    assert second.matching("order.paid") == ()


async def test_a_disabling_by_the_worker_records_why_once(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    dead = await scene.another()
    await scene.claim("i-1", by=dead)
    await scene.give_up("i-1", "the receiver answered 410 Gone")
    first = await scene.ledger.integrations.get(["i-1"])
    version = (await snapshot(scene.ledger)).version
    await scene.die(dead)
    (seized,) = await scene.ledger.fleet.seize()
    await scene.settle(seized, Verdict.FAILED, disable="another reason")

    assert await scene.ledger.integrations.get(["i-1"]) == first
    assert (first[0].enabled, first[0].disabled_reason, first[0].revision) == (
        False,
        "the receiver answered 410 Gone",
        2,
    )
    assert (await snapshot(scene.ledger)).version == version


async def test_what_a_deleted_integrations_receiver_answers_disables_nothing(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.ledger.integrations.delete("i-1")
    assert await scene.settle(claim, Verdict.FAILED, disable="answered 410") == "settled"
    assert await scene.ledger.integrations.get(["i-1"]) == []
    assert (await scene.ledger.fleet.sweep()).unannounced == []


async def test_a_claims_revision_is_that_of_the_configuration_it_needs(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2", "e-3")
    revisions = [(await scene.claim("i-1", room=1))[0].revision]
    await scene.ledger.integrations.put(an_integration(name="new"))
    revisions.append((await scene.claim("i-1", room=1))[0].revision)
    await scene.disable("i-1")
    await scene.ledger.integrations.put(an_integration(name="new"))
    revisions.append((await scene.claim("i-1", room=1))[0].revision)
    assert revisions == [1, 2, 4]


async def test_a_listing_has_a_scopes_integrations_the_newest_first(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2", "i-3")
    await scene.ledger.integrations.put(an_integration("elsewhere", scope=Scope("org-1", "store-2")))
    for age, each in enumerate(("i-1", "i-2", "i-3")):
        await scene.key("ZADD", f"scope:{SCOPE.key}:list", age + 1, each)
    # An update does not move it.
    await scene.register("i-1")

    def ids(found: Sequence[Integration]) -> list[str]:
        return [each.id for each in found]

    assert ids((await scene.ledger.integrations.page(SCOPE, 0, 10)).items) == ["i-3", "i-2", "i-1"]
    assert ids((await scene.ledger.integrations.page(SCOPE, 1, 1)).items) == ["i-2"]
    await scene.ledger.integrations.delete("i-2")
    # What is gone takes no place on a page.
    assert ids((await scene.ledger.integrations.page(SCOPE, 0, 2)).items) == ["i-3", "i-1"]


async def test_what_a_deleted_integration_owes_is_cancelled_chunk_by_chunk(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    for start in range(0, 250, 50):
        await scene.owe("i-1", *(f"e-{n}" for n in range(start, start + 50)))
    await scene.owe("i-2", "other")
    owed = (await scene.contents()).pending
    assert await scene.ledger.integrations.delete("i-1")
    assert not await scene.ledger.integrations.delete("i-1")
    assert (await scene.contents()).pending == owed

    assert await scene.claim("i-1") == []
    ended = [await scene.ledger.fleet.expire() for _ in range(250 // JOBS_PER_CALL + 1)]
    assert (sum(ended), max(ended)) == (250, JOBS_PER_CALL)
    assert await scene.ledger.fleet.expire() == 0
    status = await scene.ledger.status.read()
    assert (status.counter("cancelled"), status.pending, status.jobs_balance) == (250, 1, 0)
    contents = await scene.contents()
    assert {row["reason"] for row in contents.jobs.values() if row["state"] == "cancelled"} == {"integration_deleted"}
    assert contents.sets.get("closing") is None
    assert "lane:i-1" not in contents.hashes
    await scene.retention_passes()
    assert "jobs:i-1" not in (await scene.contents()).scores


async def test_what_a_deleted_integration_has_in_flight_may_end_and_is_not_tried_again(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1", "e-2")
    first, second = await scene.claim("i-1")
    await scene.ledger.integrations.delete("i-1")
    assert await scene.ledger.fleet.expire() == 0

    assert await scene.settle(first, Verdict.SUCCEEDED) == "settled"
    assert await scene.settle(second, Verdict.RETRY, rest=60) == "settled"
    assert await scene.ledger.fleet.expire() == 1
    assert await scene.state(first.job_id) == (JobState.SUCCEEDED, "")
    assert await scene.state(second.job_id) == (JobState.CANCELLED, "integration_deleted")
    assert "lane:i-1" not in (await scene.contents()).hashes


async def test_a_scope_without_integrations_is_forgotten_and_one_that_has_some_again_is_not(scene: LedgerScene) -> None:
    keys = [f"scope:{SCOPE.key}{each}" for each in ("", ":changes", ":gone")]
    await scene.register("i-1", "i-2")
    before = await scene.ledger.integrations.refresh(Snapshot(SCOPE))
    await scene.ledger.integrations.delete("i-1")
    assert [await scene.key("PTTL", key) for key in keys] == [-1, -1, -1]
    await scene.ledger.integrations.delete("i-2")
    assert all([await scene.key("PTTL", key) > 0 for key in keys])
    await scene.register("i-3")
    assert [await scene.key("PTTL", key) for key in keys] == [-1, -1, -1]
    await scene.ledger.integrations.delete("i-3")
    for key in keys:
        await scene.key("DEL", key)

    await scene.register("i-4")
    # A worker may have read the scope long ago.
    assert (await scene.ledger.integrations.refresh(before)).matching("order.paid") == ("i-4",)


async def test_an_integration_that_is_created_again_under_its_old_id_is_a_living_one(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "TOMBSTONES", 2)
    await scene.register("i-1", *(f"other {n}" for n in range(3)))
    await scene.ledger.integrations.delete("i-1")
    await scene.ledger.integrations.put(an_integration(), expect=0)
    (job,) = await scene.owe("i-1", "e-1")

    assert await scene.ledger.fleet.expire() == 0
    (claim,) = await scene.claim("i-1")
    assert await scene.settle(claim, Verdict.SUCCEEDED) == "settled"
    await scene.ledger.fleet.expire()
    (job,) = await scene.owe("i-1", "e-2")
    assert (await scene.state(job))[0] is JobState.PENDING
    assert len(await scene.claim("i-1")) == 1
    for n in range(3):
        await scene.ledger.integrations.delete(f"other {n}")
    assert (await snapshot(scene.ledger)).matching("order.paid") == ("i-1",)


async def test_a_scan_finds_the_integrations_of_every_scope_and_nothing_else(scene: LedgerScene) -> None:
    await scene.register(*(f"i-{n}" for n in range(30)))
    await scene.register("other", scope=Scope("org-2", "store-9"))
    await scene.owe("i-1", "e-1")
    found: dict[str, Integration] = {}
    cursor = -1
    while cursor:
        cursor, some = await scene.ledger.integrations.scan(max(cursor, 0))
        found |= {each.id: each for each in some}
    assert set(found) == {"other", *(f"i-{n}" for n in range(30))}
    assert found["other"].scope == Scope("org-2", "store-9")


async def test_sealing_anew_is_no_change_that_anybody_sees(scene: LedgerScene) -> None:
    await scene.register("i-1", configuration={"url": "u", "secret_key": "sealed:old"})
    (before,) = await scene.ledger.integrations.get(["i-1"])
    known = await snapshot(scene.ledger)
    after = replace(before, configuration={"url": "u", "secret_key": "sealed:new"})
    assert await scene.ledger.integrations.reseal(before, after)
    assert await scene.ledger.integrations.get(["i-1"]) == [after]
    assert await scene.ledger.integrations.refresh(known) is known


async def test_sealing_anew_overwrites_no_change_made_meanwhile(scene: LedgerScene) -> None:
    await scene.register("i-1", configuration={"url": "u", "secret_key": "sealed:old"})
    (before,) = await scene.ledger.integrations.get(["i-1"])
    await scene.ledger.integrations.put(replace(before, name="another"))
    after = replace(before, configuration={"url": "u", "secret_key": "sealed:new"})
    assert not await scene.ledger.integrations.reseal(before, after)
    (now,) = await scene.ledger.integrations.get(["i-1"])
    assert (now.name, now.configuration) == ("another", before.configuration)
    await scene.ledger.integrations.delete("i-1")
    assert not await scene.ledger.integrations.reseal(now, after)
    assert await scene.ledger.integrations.get(["i-1"]) == []


async def test_a_change_of_what_was_sealed_anew_meanwhile_is_refused(scene: LedgerScene) -> None:
    registry = scene.ledger.integrations
    await scene.register("i-1", configuration={"url": "u", "secret_key": "sealed:old"})
    (before,) = await registry.get(["i-1"])
    assert await registry.reseal(before, replace(before, configuration={"url": "u", "secret_key": "sealed:new"}))

    with pytest.raises(RevisionConflict):
        await registry.put(replace(before, name="another"), expect=before.revision)

    (now,) = await registry.get(["i-1"])
    assert now.configuration["secret_key"] == "sealed:new"
    kept = (await registry.put(replace(now, name="another"), expect=now.revision)).integration
    assert await registry.get(["i-1"]) == [kept]
    assert (kept.name, kept.configuration) == ("another", now.configuration)


async def test_a_scope_has_no_more_integrations_than_it_may(scene: LedgerScene) -> None:
    few = await scene.another(integrations=2)
    await few.integrations.put(an_integration("i-1"), expect=0)
    await few.integrations.put(an_integration("i-2"))
    before = (await few.status.read()).counter("accepted")

    for expect in (0, None):
        with pytest.raises(TooManyIntegrations, match="there are 2 integrations, and at most 2 are allowed") as caught:
            await few.integrations.put(an_integration("i-3"), expect, [an_event(type="integration.created")])
        assert (caught.value.have, caught.value.most) == (2, 2)

    assert [each.id for each in (await few.integrations.page(SCOPE, 0, 10)).items] == ["i-2", "i-1"]
    assert await few.integrations.get(["i-3"]) == []
    # Nothing of what was refused is announced, or has a lane.
    assert (await few.status.read()).counter("accepted") == before
    assert "lane:i-3" not in (await scene.contents()).hashes


async def test_an_update_is_never_refused_and_a_deletion_makes_room(scene: LedgerScene) -> None:
    few = await scene.another(integrations=1)
    # The limit was higher, or there was none, when they were created.
    await scene.register("i-1", "i-2")
    for expect in (1, None):
        await few.integrations.put(an_integration("i-1", name=f"new {expect}"), expect=expect)
    await few.integrations.delete("i-1")
    with pytest.raises(TooManyIntegrations):
        await few.integrations.put(an_integration("i-3"), expect=0)
    await few.integrations.delete("i-2")
    await few.integrations.put(an_integration("i-3"), expect=0)
    with pytest.raises(TooManyIntegrations):
        await few.integrations.put(an_integration("i-1"), expect=0)


async def test_each_store_and_an_organisation_itself_count_by_themselves(scene: LedgerScene) -> None:
    few = await scene.another(integrations=1)
    scopes = [SCOPE, Scope("org-1", "store-2"), Scope("org-1"), Scope("org-2"), Scope(None, "store-1"), Scope()]
    for n, scope in enumerate(scopes):
        await few.integrations.put(an_integration(f"i-{n}", scope=scope), expect=0)
    for n, scope in enumerate(scopes):
        with pytest.raises(TooManyIntegrations):
            await few.integrations.put(an_integration(f"j-{n}", scope=scope), expect=0)


async def test_of_many_creators_at_once_only_as_many_win_as_there_is_room_for(scene: LedgerScene) -> None:
    ledgers = [await scene.another(integrations=7) for _ in range(4)]

    results = await asyncio.gather(
        *(ledgers[n % 4].integrations.put(an_integration(f"i-{n}"), expect=0) for n in range(40)),
        return_exceptions=True,
    )

    assert sum(isinstance(each, TooManyIntegrations) for each in results) == 33
    assert (await scene.ledger.integrations.page(SCOPE, 0, 1)).total == 7


async def test_without_a_limit_there_is_none(scene: LedgerScene) -> None:
    unlimited = await scene.another(integrations=0)
    for n in range(12):
        await unlimited.integrations.put(an_integration(f"i-{n}"), expect=0)
    assert (await unlimited.integrations.page(SCOPE, 0, 1)).total == 12
