"""Tokens: kept without their secrets, found by their ids, and gone once they are revoked."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.scene import LedgerScene
from tests.samples import SCOPE
from worker.domain.api_token import Role, Token, TokenKind, bearer_of, digest_of, make_secret, matches, new_id, written
from worker.domain.event import Scope
from worker.ledger import Ledger, LedgerFull, LedgerPolicy, LedgerUnavailable
from worker.ledger.connection import redis_client as redis_client_module
from worker.ledger.token_repository import BEARERS_MAX, TokenRepository

HOUR = 3600


def a_token(secret: str = "", **changes: Any) -> Token:
    values: dict[str, Any] = {
        "id": new_id(),
        "kind": TokenKind.TOKEN,
        "role": Role.ADMIN,
        "scope": SCOPE,
        "name": "Zoë's back office",
        "digest": digest_of(secret or make_secret()),
    }
    return Token(**(values | changes))


async def a_client(tokens: TokenRepository, **changes: Any) -> Token:
    return await tokens.put(a_token(kind=TokenKind.CLIENT, role=Role.PUBLISH, **changes))


async def a_bearer(tokens: TokenRepository, client: Token, seconds: float = HOUR, secret: str = "s") -> Token:
    bearer = bearer_of(client, new_id(), secret)
    assert await tokens.issue_bearer(client, bearer, seconds)
    return bearer


async def requests(ledger: Ledger) -> int:
    """How many times Redis was sent something so far."""
    return int((await raw.client(ledger).info("stats"))["total_reads_processed"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scope": Scope()},
        {"scope": Scope("org/1", None), "role": Role.READ},
        {"scope": Scope(None, "store-1"), "kind": TokenKind.CLIENT},
        {"scope": Scope(), "platform": True, "role": Role.PUBLISH, "name": ""},
    ],
    ids=str,
)
async def test_a_token_comes_back_as_it_was_put_with_the_ledgers_time(
    scene: LedgerScene, changes: dict[str, Any]
) -> None:
    put = a_token(**changes)

    kept = await scene.ledger.tokens.put(put)

    assert abs(kept.created_at - await raw.now(scene.ledger)) < 60_000
    assert kept == replace(put, created_at=kept.created_at)
    assert await scene.ledger.tokens.get(put.id) == kept
    assert await scene.ledger.tokens.listing(0, 10) == [kept]


async def test_putting_it_again_keeps_its_time_of_creation(scene: LedgerScene) -> None:
    kept = await scene.ledger.tokens.put(a_token())
    await scene.key("HSET", f"token:{kept.id}", "created_at", 5)
    await scene.key("ZADD", "tokens", "XX", 5, kept.id)

    assert (await scene.ledger.tokens.put(kept)).created_at == 5
    assert await scene.key_score("tokens", kept.id) == 5


@pytest.mark.parametrize("token_id", ["0" * 16, "", "nope", "\ud800", "a" * 100_000])
async def test_an_id_that_is_nobodys_finds_and_revokes_nothing(scene: LedgerScene, token_id: str) -> None:
    await scene.ledger.tokens.put(a_token())

    assert await scene.ledger.tokens.get(token_id) is None
    assert await scene.ledger.tokens.revoke(token_id) is False


async def test_a_get_costs_one_round_trip(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    client = await a_client(tokens)
    bearer = await a_bearer(tokens, client)
    # Redis learns the script.
    await tokens.get(client.id)

    for each in (client.id, bearer.id, new_id()):
        before = await requests(scene.ledger)
        await tokens.get(each)
        # The second is the question how many there were.
        assert await requests(scene.ledger) - before == 2


async def test_the_listing_has_tokens_and_clients_the_newest_first_and_no_bearers(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    made = [await tokens.put(a_token()), await a_client(tokens), await tokens.put(a_token())]
    for age, each in enumerate(made):
        await scene.key("ZADD", "tokens", "XX", each.created_at + age, each.id)
    await a_bearer(tokens, made[1])

    assert [each.id for each in await tokens.listing(0, 10)] == [each.id for each in reversed(made)]
    assert [each.id for each in await tokens.listing(1, 1)] == [made[1].id]
    assert await tokens.listing(3, 10) == []


async def test_the_secret_is_nowhere_in_the_ledger(scene: LedgerScene) -> None:
    tokens, (one, two, three) = scene.ledger.tokens, (make_secret() for _ in range(3))
    token = await tokens.put(a_token(one))
    client = await a_client(tokens, digest=digest_of(two))
    bearer = await a_bearer(tokens, client, secret=three)

    contents = await scene.contents()
    written_down = repr(
        (contents.hashes, contents.sets, contents.scores, contents.lists, contents.strings, contents.ttls)
    )

    assert all(secret not in written_down for secret in (one, two, three))
    assert all(each.digest in written_down for each in (token, client, bearer))
    found = await tokens.get(token.id)
    assert found is not None
    assert matches(found, one)


async def test_a_revoked_token_is_gone_and_another_stays(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    revoked, other = await tokens.put(a_token()), await tokens.put(a_token())

    assert await tokens.revoke(revoked.id) is True

    assert await tokens.get(revoked.id) is None
    assert await tokens.listing(0, 10) == [other]
    assert await tokens.get(other.id) == other
    assert await tokens.revoke(revoked.id) is False


async def test_a_bearer_is_found_as_it_was_issued_and_ends_after_its_hour(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    client = await a_client(tokens, platform=True, scope=Scope())

    bearer = await a_bearer(tokens, client)

    found = await tokens.get(bearer.id)
    assert found is not None
    assert found == replace(bearer, created_at=found.created_at, expires_at=found.created_at + HOUR * 1000)
    assert HOUR * 1000 - 60_000 < await scene.key("PTTL", f"token:{bearer.id}") <= HOUR * 1000


async def test_a_bearer_expires_and_so_does_the_list_that_named_it(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    client = await a_client(tokens)
    bearer = await a_bearer(tokens, client, seconds=0.02)

    async with asyncio.timeout(30):
        while await tokens.get(bearer.id) is not None:
            pass

    assert await scene.key("EXISTS", f"token:{bearer.id}") == 0
    assert await scene.key("EXISTS", f"client:{client.id}:bearers") == 0
    assert await tokens.get(client.id) == client


async def test_the_list_of_bearers_lives_as_long_as_the_last_of_them_and_names_none_that_is_over(
    scene: LedgerScene,
) -> None:
    tokens = scene.ledger.tokens
    client = await a_client(tokens)
    long, short = await a_bearer(tokens, client), await a_bearer(tokens, client, seconds=1)
    await scene.key("ZADD", f"client:{client.id}:bearers", "XX", 1, short.id)

    newest = await a_bearer(tokens, client, seconds=60)

    assert set((await scene.contents()).scores[f"client:{client.id}:bearers"]) == {long.id, newest.id}
    assert await scene.key("PTTL", f"client:{client.id}:bearers") > 1800_000


async def test_revoking_a_client_revokes_its_bearers_and_nobody_elses(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    revoked, other = await a_client(tokens), await a_client(tokens)
    bearers = [await a_bearer(tokens, revoked) for _ in range(3)]
    stays = await a_bearer(tokens, other)

    assert await tokens.revoke(revoked.id) is True

    assert [await tokens.get(each.id) for each in bearers] == [None] * 3
    assert await tokens.get(stays.id) is not None
    contents = await scene.contents()
    assert set(contents.hashes) & {f"token:{each.id}" for each in (revoked, *bearers)} == set()
    assert f"client:{revoked.id}:bearers" not in contents.scores


async def test_revoking_a_bearer_leaves_its_client(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    client = await a_client(tokens)
    revoked, stays = await a_bearer(tokens, client), await a_bearer(tokens, client)

    assert await tokens.revoke(revoked.id) is True

    assert await tokens.get(revoked.id) is None
    assert set((await scene.contents()).scores[f"client:{client.id}:bearers"]) == {stays.id}
    assert await tokens.get(client.id) == client


async def test_a_bearer_without_its_client_is_refused_even_if_it_is_still_there(scene: LedgerScene) -> None:
    client = await a_client(scene.ledger.tokens)
    bearer = await a_bearer(scene.ledger.tokens, client)
    await scene.key("DEL", f"token:{client.id}")

    assert await scene.ledger.tokens.get(bearer.id) is None


async def test_a_client_that_was_revoked_meanwhile_gets_no_bearer(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    client = await a_client(tokens)
    await tokens.revoke(client.id)
    bearer = bearer_of(client, new_id(), "s")

    assert await tokens.issue_bearer(client, bearer, HOUR) is False

    assert await tokens.get(bearer.id) is None
    contents = await scene.contents()
    assert [key for key in (*contents.hashes, *contents.scores) if "token" in key or "client" in key] == []


async def test_a_token_that_is_no_client_gets_no_bearer(scene: LedgerScene) -> None:
    token = await scene.ledger.tokens.put(a_token())
    bearer = bearer_of(token, new_id(), "s")

    assert await scene.ledger.tokens.issue_bearer(token, bearer, HOUR) is False
    assert await scene.ledger.tokens.get(bearer.id) is None


async def test_a_bearer_is_issued_and_never_put(scene: LedgerScene) -> None:
    with pytest.raises(ValueError, match="use issue_bearer"):
        await scene.ledger.tokens.put(a_token(kind=TokenKind.BEARER))
    assert await scene.ledger.tokens.listing(0, 10) == []


async def test_with_one_bearer_more_than_a_thousand_the_oldest_goes(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    client = await a_client(tokens)
    oldest = await a_bearer(tokens, client)
    issued = await raw.now(scene.ledger)
    async with asyncio.timeout(30):
        while await raw.now(scene.ledger) <= issued:
            pass
    for start in range(1, BEARERS_MAX, 111):
        await asyncio.gather(*(a_bearer(tokens, client) for _ in range(start, min(start + 111, BEARERS_MAX))))
    assert await tokens.get(oldest.id) is not None

    newest = await a_bearer(tokens, client)

    assert BEARERS_MAX == 1_000
    assert await tokens.get(oldest.id) is None
    assert await tokens.get(newest.id) is not None
    contents = await scene.contents()
    named = set(contents.scores[f"client:{client.id}:bearers"])
    assert len(named) == BEARERS_MAX
    assert {f"token:{each}" for each in named} | {f"token:{client.id}"} == {
        key for key in contents.hashes if key.startswith("token:")
    }
    # All of them go with their client, in one call.
    await tokens.revoke(client.id)
    assert [key for key in (await scene.contents()).hashes if key.startswith("token:")] == []


async def test_a_written_token_is_found_by_its_id_and_proved_by_its_secret(scene: LedgerScene) -> None:
    secret = make_secret()
    token = await scene.ledger.tokens.put(a_token(secret))
    _, token_id, *rest = written(token.id, secret).split("_", 2)

    found = await scene.ledger.tokens.get(token_id)

    assert found is not None
    assert matches(found, rest[0])


async def test_putting_and_revoking_wait_for_the_replicas_that_the_settings_ask_for(
    make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client_module, "REPLICA_WAIT", 50)
    careful = Ledger(make_redis().url, LedgerPolicy(wait_replicas=1))
    await careful.open()
    with pytest.raises(LedgerUnavailable, match="only 0 of 1 replicas"):
        await careful.tokens.put(a_token(id="0" * 16))
    with pytest.raises(LedgerUnavailable, match="only 0 of 1 replicas"):
        await careful.tokens.revoke("0" * 16)
    await careful.close()


async def test_at_the_redis_servers_memory_limit_tokens_are_found_and_revoked_and_none_is_made(
    make_redis: Callable[..., RedisServer],
) -> None:
    ledger = Ledger(make_redis().url)
    await ledger.open()
    client, token = await a_client(ledger.tokens), await ledger.tokens.put(a_token())
    await raw.client(ledger).config_set("maxmemory", "1")

    with pytest.raises(LedgerFull):
        await ledger.tokens.put(a_token())
    with pytest.raises(LedgerFull):
        await ledger.tokens.issue_bearer(client, bearer_of(client, new_id(), "s"), HOUR)
    assert await ledger.tokens.get(token.id) == token
    assert await ledger.tokens.revoke(token.id) is True
    assert await ledger.tokens.get(token.id) is None
    await ledger.close()


async def test_the_use_of_a_token_is_kept_and_a_revoked_token_stays_gone(scene: LedgerScene) -> None:
    tokens = scene.ledger.tokens
    token = await tokens.put(a_token())
    assert token.used_at == 0
    await tokens.note_use(token.id)
    found = await tokens.get(token.id)
    assert found
    assert found.used_at >= found.created_at > 0
    await tokens.revoke(token.id)
    await tokens.note_use(token.id)
    assert await tokens.get(token.id) is None
    assert await tokens.listing(0, 10) == []
