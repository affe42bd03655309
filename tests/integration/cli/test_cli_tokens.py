"""`edw tokens`: who may use the API, and for whom."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.edw_command import Edw
from tests.ledger import inspection
from worker.domain.api_token import Role, Token, TokenKind, bearer_of, digest_of, matches, new_id, read
from worker.domain.event import Scope
from worker.ledger import Ledger


def kept(redis_url: str, token_id: str) -> Token | None:
    """What the ledger has under an id."""

    async def get() -> Token | None:
        ledger = Ledger(redis_url)
        try:
            return await ledger.tokens.get(token_id)
        finally:
            await ledger.close()

    return asyncio.run(get())


def everything(redis_url: str) -> bytes:
    """All that Redis has in memory."""

    async def dump() -> bytes:
        ledger = Ledger(redis_url)
        try:
            return await inspection.everything(ledger)
        finally:
            await ledger.close()

    return asyncio.run(dump())


def listed(edw: Edw) -> list[dict[str, Any]]:
    result = edw("tokens", "list", "--json")
    assert result.code == 0, result.text
    found: list[dict[str, Any]] = result.json["data"]
    return found


def test_the_token_alone_is_on_standard_output_and_what_it_is_on_standard_error(edw: Edw, redis_url: str) -> None:
    result = edw("tokens", "create", "--store", "s", "--org", "o", "--role", "admin")

    assert result.code == 0, result.text
    parts = read(result.out.removesuffix("\n"))
    assert parts is not None
    token_id, secret = parts
    assert result.err == f"id {token_id}, acts for organisation o, store s, role admin; it is shown this once\n"
    token = kept(redis_url, token_id)
    assert token is not None
    assert matches(token, secret)
    assert (token.kind, token.role, token.scope) == (TokenKind.TOKEN, Role.ADMIN, Scope("o", "s"))
    assert token.platform is False


def test_json_has_the_token_and_its_id(edw: Edw, redis_url: str) -> None:
    made = edw("tokens", "create", "--org", "o", "--role", "read", "--json").json

    assert made.keys() == {"token", "id"}
    parts = read(made["token"])
    assert parts is not None
    token = kept(redis_url, made["id"])
    assert token is not None
    assert parts[0] == token.id
    assert matches(token, parts[1])
    assert (token.role, token.scope) == (Role.READ, Scope("o"))


def test_a_client_has_an_id_and_a_secret(edw: Edw, redis_url: str) -> None:
    reported = edw("tokens", "create", "--store", "s", "--role", "publish", "--client")
    made = edw("tokens", "create", "--store", "s", "--role", "publish", "--client", "--json").json

    lines = dict(line.split(" ") for line in reported.out.splitlines())
    assert lines.keys() == {"client_id", "client_secret"}
    assert "the secret is shown this once" in reported.err
    assert lines["client_secret"] not in reported.err
    assert made.keys() == {"client_id", "client_secret", "id"}
    assert made["client_id"] == made["id"]
    for client_id, secret in (lines.values(), (made["client_id"], made["client_secret"])):
        client = kept(redis_url, client_id)
        assert client is not None
        assert matches(client, secret)
        assert client.kind is TokenKind.CLIENT


def test_without_a_store_it_acts_for_the_one_store_of_the_deployment(edw: Edw, redis_url: str) -> None:
    result = edw("tokens", "create", "--role", "publish")

    token = kept(redis_url, (read(result.out.strip()) or ("", ""))[0])
    assert token is not None
    assert (token.scope, token.platform) == (Scope(), False)
    assert "acts for the only store, role publish" in result.err


@pytest.mark.parametrize("more", [(), ("--role", "publish"), ("--client",)], ids=" ".join)
def test_a_platforms_token_publishes(edw: Edw, redis_url: str, more: tuple[str, ...]) -> None:
    result = edw("tokens", "create", "--platform", *more, "--json")

    token = kept(redis_url, result.json["id"])
    assert token is not None
    assert (token.platform, token.role, token.scope) == (True, Role.PUBLISH, Scope())
    assert (token.kind is TokenKind.CLIENT) == ("--client" in more)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "--role is required: one of admin, publish, read"),
        (("--store", "s"), "--role is required"),
        (("--role", "owner"), "--role"),
        (("--platform", "--role", "admin"), "--platform works with --role publish only"),
        (("--platform", "--role", "read"), "--platform works with --role publish only"),
        (("--platform", "--store", "s"), "--platform takes neither --store nor --org"),
        (("--platform", "--org", ""), "--platform takes neither --store nor --org"),
        (("--role", "read", "--store", ""), "--store is empty"),
        (("--role", "read", "--org", ""), "--org is empty"),
        (("--role", "read", "--store", "s" * 129), "--store has 129 characters"),
        (("--role", "read", "--store", "a\nb"), "--store has control characters"),
        (("--role", "read", "--name", "\udcff"), "is not UTF-8"),
        (("--role", "read", "--name", "n" * 256), "--name has 256 characters"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage_and_makes_no_token(
    edw: Edw, redis_url: str, arguments: tuple[str, ...], part: str
) -> None:
    result = edw("tokens", "create", *arguments)

    assert result.code == 2, result.text
    assert part in result.text
    assert result.out == ""
    assert listed(edw) == []


def test_the_list_has_what_was_made_and_never_a_secret(edw: Edw, redis_url: str, environment: dict[str, str]) -> None:
    token = edw("tokens", "create", "--store", "s", "--org", "o", "--role", "admin", "--name", "Back office").out
    client = edw("tokens", "create", "--platform", "--client", "--json").json
    (token_id, secret) = read(token.strip()) or ("", "")

    table, found = edw("tokens", "list"), {each["id"]: each for each in listed(edw)}

    assert found.keys() == {token_id, client["id"]}
    assert found[token_id].pop("created_at").startswith("20")
    assert found[token_id].pop("last_used_at") is None
    assert found[token_id] == {
        "id": token_id,
        "kind": "token",
        "role": "admin",
        "platform": False,
        "store_id": "s",
        "org_id": "o",
        "name": "Back office",
    }
    assert (found[client["id"]]["kind"], found[client["id"]]["platform"]) == ("client", True)
    assert all(part in table.text for part in (token_id, "Back office", "organisation o,", "the platform"))
    on_disk = b"".join(path.read_bytes() for path in Path(environment["EDW_DATA_DIR"]).rglob("*") if path.is_file())
    in_memory = everything(redis_url)
    assert digest_of(secret).encode() in on_disk
    assert digest_of(secret).encode() in in_memory
    for hidden in (secret, client["client_secret"]):
        assert hidden not in table.text + repr(found)
        assert digest_of(hidden) not in table.text + repr(found)
        assert hidden.encode() not in on_disk + in_memory


def test_an_empty_list_says_so(edw: Edw, redis_url: str) -> None:
    assert edw("tokens", "list").out == "no tokens\n"
    assert listed(edw) == []


def test_tables_fit_a_hundred_columns_and_foreign_text_commands_no_terminal(edw: Edw, redis_url: str) -> None:
    edw("tokens", "create", "--role", "read", "--store", "s" * 128, "--name", "[red]x[/red]" + "y" * 200)

    listing = edw("tokens", "list")

    assert listing.code == 0
    assert "[red]" in listing.out
    assert all(len(line) <= 100 for line in listing.out.splitlines())


def test_a_token_is_revoked_by_its_id_or_by_itself(edw: Edw, redis_url: str) -> None:
    one, two, three = (edw("tokens", "create", "--role", "read", "--json").json for _ in range(3))

    result = edw("tokens", "revoke", one["id"], two["token"])

    assert result.code == 0, result.text
    assert result.out.splitlines() == [
        f"revoked {each}; the API refuses it within a second" for each in (one["id"], two["id"])
    ]
    assert [each["id"] for each in listed(edw)] == [three["id"]]


def test_with_a_client_its_bearers_are_revoked(edw: Edw, redis_url: str) -> None:
    client_id = edw("tokens", "create", "--role", "read", "--client", "--json").json["client_id"]

    async def issue() -> str:
        ledger = Ledger(redis_url)
        client = await ledger.tokens.get(client_id)
        assert client is not None
        bearer = bearer_of(client, new_id(), "s")
        assert await ledger.tokens.issue_bearer(client, bearer, 3600)
        await ledger.close()
        return bearer.id

    bearer_id = asyncio.run(issue())
    assert kept(redis_url, bearer_id) is not None

    assert edw("tokens", "revoke", client_id).code == 0

    assert kept(redis_url, client_id) is None
    assert kept(redis_url, bearer_id) is None


def test_what_is_not_there_is_said_and_the_rest_is_revoked_all_the_same(edw: Edw, redis_url: str) -> None:
    made = edw("tokens", "create", "--role", "read", "--json").json

    result = edw("tokens", "revoke", "0" * 16, made["id"])

    assert result.code == 1
    assert result.err == f"there is no token {'0' * 16}\n"
    assert f"revoked {made['id']}" in result.out
    assert edw("tokens", "revoke", made["token"]).err == f"there is no token {made['id']}\n"


def test_what_is_no_id_is_refused_without_showing_it(edw: Edw, redis_url: str) -> None:
    made = edw("tokens", "create", "--role", "read", "--json").json

    result = edw("tokens", "revoke", made["token"] + "x")

    assert result.code == 1
    assert "neither a token nor the id of one: ****" in result.err
    assert made["token"][10:-5] not in result.text
    assert len(listed(edw)) == 1


@pytest.mark.parametrize("command", [("create", "--role", "read"), ("list",), ("revoke", "0" * 16)], ids=" ".join)
def test_without_a_redis_server_it_ends_with_3_and_says_what_to_start(edw: Edw, command: tuple[str, ...]) -> None:
    result = edw("tokens", *command)

    assert result.code == 3
    assert 'Start "edw dev"' in result.err
    assert result.out == ""


def test_the_audit_says_who_made_and_revoked_a_token(edw: Edw, redis_url: str) -> None:
    options = ("--store", "s", "--org", "o")
    made = edw("tokens", "create", *options, "--role", "admin", "--name", "Back office")
    parts = read(made.out.strip())
    assert parts is not None
    assert edw("tokens", "revoke", parts[0]).code == 0
    assert edw("tokens", "revoke", parts[0]).code == 1

    revoked, created = edw("audit", *options, "--json").json["data"]

    assert [each["action"] for each in (revoked, created)] == ["token.revoked", "token.created"]
    assert {each["subject"]["id"] for each in (revoked, created)} == {parts[0]}
    assert revoked["before"] == created["after"]
    assert created["after"] == {"kind": "token", "role": "admin", "platform": False, "name": "Back office"}
    assert created["author"]["name"].startswith("edw, by ")
    assert "token.revoked" in edw("audit", *options).text
    assert parts[1] not in edw("audit", *options).text
    assert edw("audit", "--store", "another").text.startswith("no changes")


@pytest.mark.parametrize("more", ["--client", "--platform", "--store s", "--role publish"])
def test_an_operators_token_is_for_all_stores_and_only_reads_or_administers(
    edw: Edw, redis_url: str, more: str
) -> None:
    role = [] if "--role" in more else ["--role", "read"]
    failed = edw("tokens", "create", "--operator", *role, *more.split())
    assert failed.code == 2, failed.text
    assert "--operator" in failed.text
    made = edw("tokens", "create", "--operator", "--role", "admin")
    assert "acts for all stores, in the console" in made.text
    (found,) = listed(edw)
    assert (found["kind"], found["role"], found["store_id"]) == ("operator", "admin", None)
