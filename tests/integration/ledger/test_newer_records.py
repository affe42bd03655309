"""Records that a newer build wrote: this build leaves them, and spends nothing on them."""

from dataclasses import replace
from typing import Any

import pytest

from deliverers.registry import DelivererRegistry
from tests.ledger import raw, surgery
from tests.ledger.scene import LedgerScene, dispatch_of
from tests.samples import an_event, an_integration
from worker.domain.api_token import Role, Token, TokenKind, digest_of, new_id
from worker.domain.event import Scope
from worker.domain.format_version import CONFIGURATION_SINCE, MINOR, PATIENCE_SINCE
from worker.domain.job import job_id
from worker.domain.ledger_time import confirmation_of
from worker.ledger.integration_repository import NotInForceError
from worker.ledger.ledger_errors import NewerRecord

NEWER = MINOR + 1


async def test_an_event_that_needs_a_newer_build_stays_in_the_inbox_and_counts_no_failure(scene: LedgerScene) -> None:
    await scene.register("i")
    event = an_event("e-1")
    await scene.ledger.inbox.accept([event])
    await surgery.set_event_minor(scene.ledger, event.ref, NEWER)
    for _ in range(10):
        loaded = await scene.ledger.inbox.load([event.ref])
        assert (loaded.events, loaded.deadly, loaded.newer) == ((), (), 1)
    assert await scene.key("HGET", f"event:{event.ref}:progress", "observers") == b""
    await dispatch_of(scene.ledger).observe([event.ref])
    assert await scene.jobs_of(event.ref) == []
    status = await scene.ledger.status.read()
    assert (status.inbox, status.rejected, status.events_balance) == (1, 0, 0)
    # A newer process observes it: what it wrote is now understood.
    await surgery.set_event_minor(scene.ledger, event.ref, MINOR)
    assert len((await scene.ledger.inbox.load([event.ref])).events) == 1


async def test_a_job_of_a_newer_event_is_left_without_an_attempt_and_others_of_its_lane_go_on(
    scene: LedgerScene,
) -> None:
    await scene.register("i")
    newer, plain = await scene.owe("i", "e-1", "e-2")
    await scene.key("HSET", f"job:{newer}", "minor", NEWER)
    assert [claim.job_id for claim in await scene.claim("i")] == [plain]
    assert await scene.claim("i") == []
    assert (await scene.job(newer)).attempts == 0
    await scene.key("HSET", f"job:{newer}", "minor", MINOR)
    await scene.key("ZADD", "lane:i:due", 1, newer)
    (claim,) = await scene.claim("i")
    assert (claim.job_id, claim.attempt) == (newer, 1)


async def test_a_job_needs_what_its_event_needs(scene: LedgerScene) -> None:
    await scene.register("i")
    (stored,) = await scene.publish("e-1")
    object.__setattr__(stored, "minor", NEWER)
    claims, _ = await scene.open([stored], "i")
    (job,) = await scene.jobs_of(stored.ref)
    assert claims == []
    assert await scene.key("HGET", f"job:{job}", "minor") == str(NEWER).encode()


async def test_a_missing_job_of_a_newer_event_needs_what_its_event_needs(scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    await scene.open([stored])
    await scene.register("i")
    await surgery.set_event_minor(scene.ledger, stored.ref, NEWER)
    job = job_id(stored.ref, "i")
    assert await scene.ledger.redelivery.open_missing("i", [(job, stored.ref)]) == (1, False)
    assert await scene.key("HGET", f"job:{job}", "minor") == str(NEWER).encode()
    assert await scene.claim("i") == []


async def test_a_lane_that_needs_a_newer_build_stays_announced_and_nothing_of_it_is_leased(scene: LedgerScene) -> None:
    await scene.register("i")
    (stored,) = await scene.publish("e-1")
    await scene.key("HSET", "lane:i", "minor", NEWER, "announced", 3)
    claims, _ = await scene.open([stored], "i", room=10)
    assert claims == []
    assert await scene.claim("i") == []
    assert await scene.key("HGET", "lane:i", "announced") == b"3"
    await scene.key("HDEL", "lane:i", "minor")
    assert len(await scene.claim("i")) == 1


async def test_an_event_stays_in_the_inbox_while_its_scope_has_an_integration_that_needs_a_newer_build(
    scene: LedgerScene,
) -> None:
    await scene.register("old", "new")
    document = await scene.key("HGET", "integration:new", "doc")
    newer = document.replace(b"{", b'{"minor":%d,"flavour":{"deep":[1.0]},' % NEWER, 1)
    await scene.key("HSET", "integration:new", "doc", newer)
    event = an_event("e-1")
    await scene.ledger.inbox.accept([event])
    dispatch = dispatch_of(scene.ledger)
    for _ in range(10):
        await dispatch.observe([event.ref])
    assert await scene.jobs_of(event.ref) == []
    assert await scene.key("HGET", f"event:{event.ref}:progress", "lost") == b"0"
    await scene.disable("new")
    kept = await scene.key("HGET", "integration:new", "doc")
    assert b'"flavour":{"deep":[1.0]}' in kept
    # A disabled one gets no events, however it is to be understood.
    await dispatch.observe([event.ref])
    assert len(await scene.jobs_of(event.ref)) == 1


async def test_a_disabling_by_the_fleet_keeps_fields_of_a_newer_build(scene: LedgerScene) -> None:
    await scene.register("i")
    document = await scene.key("HGET", "integration:i", "doc")
    await scene.key("HSET", "integration:i", "doc", document.replace(b"{", b'{"flavour":"x",', 1), "zest", "y")
    await scene.give_up("i")
    assert b'"flavour":"x"' in await scene.key("HGET", "integration:i", "doc")
    assert await scene.key("HGET", "integration:i", "zest") == b"y"


async def test_a_token_that_needs_a_newer_build_is_neither_taken_nor_refused(scene: LedgerScene) -> None:
    token = Token(new_id(), TokenKind.TOKEN, Role.ADMIN, Scope(None, "s"), digest=digest_of("x"))
    await scene.ledger.tokens.put(token)
    await scene.key("HSET", f"token:{token.id}", "minor", NEWER)
    with pytest.raises(NewerRecord):
        await scene.ledger.tokens.get(token.id)


async def test_the_oldest_living_process_decides_which_minor_version_is_in_force(scene: LedgerScene) -> None:
    membership, other = scene.ledger.membership, (await scene.another()).membership
    await membership.attend("worker")
    await scene.key("ZADD", "members", 9e15, f"{MINOR + 2} api newest", 9e15, f"{NEWER} worker newer")
    await other.attend("api")
    assert other.in_force == MINOR
    await membership.leave("worker")
    await other.leave("api")
    await membership.read()
    assert membership.in_force == NEWER
    assert membership.minor == MINOR
    assert [each.kind for each in await membership.members()] == ["worker", "api"]


async def test_a_member_says_its_build_and_how_much_its_event_loop_lags(scene: LedgerScene) -> None:
    membership, other = scene.ledger.membership, await scene.another()
    await membership.attend("worker", "1.2.3", 0.25)
    await other.membership.attend("api")
    found = {each.kind: (each.build, each.lag) for each in await membership.members()}
    assert found == {"worker": ("1.2.3", 0.25), "api": ("", None)}
    await membership.leave("worker")
    assert [each.kind for each in await membership.members()] == ["api"]
    assert not [name for name in (await scene.contents()).hashes if name == f"process:{scene.ledger.owner}"]


async def test_a_process_that_was_killed_holds_a_newer_version_back_only_until_its_announcement_runs_out(
    scene: LedgerScene,
) -> None:
    membership, killed = scene.ledger.membership, await scene.another()
    await killed.membership.attend("worker")
    await scene.key("ZADD", "members", 9e15, f"{NEWER} worker newer")
    await membership.attend("api")
    await membership.leave("api")
    assert membership.in_force == MINOR
    await scene.key("ZADD", "members", "XX", 1, f"{MINOR} worker {killed.owner}")
    await membership.attend("api")
    await membership.leave("api")
    assert membership.in_force == NEWER


async def test_a_message_is_left_once_and_only_by_the_process_that_has_it(scene: LedgerScene) -> None:
    queue = scene.ledger.intake_list
    await raw.client(scene.ledger).lpush("edw.intake", "first", "second")
    batch = await queue.take()
    assert not await queue.leave(replace(batch, number=batch.number + 1))
    assert not await queue.leave(batch.without(1))
    assert await queue.leave(batch)
    assert not await queue.leave(batch)
    assert await queue.leave(batch.without(1))
    assert await raw.client(scene.ledger).lrange("edw.intake", 0, -1) == [b"second", b"first"]
    assert await scene.key("ZCARD", "takers") == 0


async def test_a_leap_is_made_up_once_however_it_is_decided(scene: LedgerScene) -> None:
    membership = scene.ledger.membership
    await surgery.leap(scene.ledger, 3_600_000)
    held = await membership.read()
    release = confirmation_of(held)
    assert release is not None
    assert [await membership._release(held, release) for _ in range(2)] == [True, False]
    assert abs((await membership.read()).offset) < 1_000


async def test_the_lane_of_an_integration_needs_what_its_document_needs(scene: LedgerScene) -> None:
    await scene.ledger.integrations.put(replace(an_integration("i"), minor=NEWER))
    await scene.owe("i", "e-1")
    assert await scene.claim("i") == []
    await scene.ledger.integrations.put(replace(an_integration("i"), minor=MINOR))
    assert len(await scene.claim("i")) == 1


OWN_PATIENCE: dict[str, Any] = {"timeout": 20.0, "retry_schedule": (5.0, 60.0)}


async def test_a_patience_of_its_own_needs_this_version_and_without_it_an_older_process_may_deliver(
    scene: LedgerScene,
) -> None:
    patient = replace(an_integration("i"), **OWN_PATIENCE)
    await scene.ledger.integrations.put(patient)
    (found,) = await scene.ledger.integrations.get(["i"])
    assert (found.timeout, found.retry_schedule, found.minor) == (20.0, (5.0, 60.0), PATIENCE_SINCE)
    assert await scene.key("HGET", "lane:i", "minor") == str(PATIENCE_SINCE).encode()
    await scene.ledger.integrations.put(replace(found, timeout=None, retry_schedule=None))
    (found,) = await scene.ledger.integrations.get(["i"])
    assert (found.timeout, found.retry_schedule, found.minor) == (None, None, 0)
    assert await scene.key("HGET", "lane:i", "minor") is None


@pytest.mark.parametrize("name", CONFIGURATION_SINCE["webhook"])
async def test_an_authentication_that_older_processes_do_not_know_keeps_them_from_the_lane(
    scene: LedgerScene, name: str
) -> None:
    await scene.ledger.integrations.put(an_integration("i", configuration={"url": "https://a.example", name: "x"}))
    assert await scene.key("HGET", "lane:i", "minor") == str(CONFIGURATION_SINCE["webhook"][name]).encode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timeout": 20.0}, "timeout"),
        ({"configuration": {"url": "u", "bearer_token": "sealed:x"}}, "configuration.bearer_token"),
    ],
)
async def test_while_an_older_process_lives_nothing_is_written_that_it_would_ignore(
    scene: LedgerScene, changes: dict[str, Any], field: str
) -> None:
    await scene.key("ZADD", "members", 9e15, f"{PATIENCE_SINCE - 1} worker older")
    await scene.ledger.membership.attend("api")
    with pytest.raises(NotInForceError) as caught:
        await scene.ledger.integrations.put(replace(an_integration("i"), **changes))
    assert caught.value.field == field
    assert await scene.ledger.integrations.get(["i"]) == []


def test_every_key_of_a_configuration_is_one_of_the_first_release_or_names_its_version() -> None:
    first = {
        "webhook": {"url", "secret_key", "signing_keys"},
        "aws_sqs": {"url", "aws_access_key_id", "aws_secret_access_key", "region"},
        "stomp": {"url", "addresses", "destination", "username", "password"},
    }
    registry = DelivererRegistry.built_in()
    for kind, known in first.items():
        fields = set(registry.configuration_model(kind).model_fields)
        assert fields == known | set(CONFIGURATION_SINCE.get(kind, {})), kind
