from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.api_token import (
    Role,
    Token,
    TokenKind,
    bearer_of,
    digest_of,
    is_id,
    make_secret,
    matches,
    new_id,
    read,
    written,
)
from worker.domain.event import Scope

ID = "0123456789abcdef"
SECRET = "A" * 20 + "_-" + "z" * 21
TOKEN = Token(ID, TokenKind.TOKEN, Role.ADMIN, Scope("org-1", "store-1"), digest=digest_of(SECRET))

ids = st.text("0123456789abcdef", min_size=16, max_size=16)
secrets = st.text("ABCXYZabcxyz0189_-", min_size=43, max_size=43)
# Whatever a header or a form may bring, lone surrogates included.
texts = st.text(st.characters()) | st.text("edw_0123456789abcdefXYZ-\n", min_size=60, max_size=70)


def test_what_was_made_can_be_written_and_read() -> None:
    token_id, secret = new_id(), make_secret()

    assert is_id(token_id)
    assert read(written(token_id, secret)) == (token_id, secret)


@given(ids, secrets)
def test_what_was_written_is_read_as_it_was(token_id: str, secret: str) -> None:
    assert read(written(token_id, secret)) == (token_id, secret)


@given(texts)
def test_whatever_comes_is_read_or_is_none_and_nothing_is_raised(text: str) -> None:
    found = read(text)

    assert found is None or written(*found) == text
    assert matches(TOKEN, text) == (text == SECRET)
    assert is_id(text) == (len(text) == 16 and set(text) <= set("0123456789abcdef"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "edw__",
        f"edw_{ID}_",
        f"edw_{ID}_{SECRET}\n",
        f" edw_{ID}_{SECRET}",
        f"edw_{ID}_{SECRET}A",
        f"edw_{ID}_{SECRET[1:]}",
        f"edw_{ID.upper()}_{SECRET}",
        f"EDW_{ID}_{SECRET}",
        f"edw_{ID}_{SECRET[:-1]}=",
        f"edw_{ID[:-1]}\N{ARABIC-INDIC DIGIT ONE}_{SECRET}",
        "edw_" * 1_000_000,
    ],
)
def test_what_only_resembles_a_token_is_none(text: str) -> None:
    assert read(text) is None


def test_secrets_and_ids_are_never_the_same_twice() -> None:
    assert len({make_secret() for _ in range(1000)}) == 1000
    assert len({new_id() for _ in range(1000)}) == 1000


def test_only_its_own_secret_matches_a_token() -> None:
    assert matches(TOKEN, SECRET)
    assert not matches(TOKEN, SECRET[:-1] + "y")
    assert not matches(TOKEN, "")
    assert not matches(TOKEN, TOKEN.digest)


@pytest.mark.parametrize("secret", ["", digest_of("")])
def test_nothing_matches_a_token_without_a_digest(secret: str) -> None:
    assert not matches(replace(TOKEN, digest=""), secret)


def test_a_digest_is_the_sha_256_of_the_secret() -> None:
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_neither_repr_nor_str_shows_the_digest() -> None:
    assert TOKEN.digest not in f"{TOKEN!r} {TOKEN}"
    assert ID in repr(TOKEN)


def test_a_token_is_not_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        TOKEN.role = Role.READ  # type: ignore[misc]


@pytest.mark.parametrize("platform", [False, True])
def test_a_bearer_acts_as_its_client_does_and_has_a_secret_of_its_own(platform: bool) -> None:
    client = replace(TOKEN, kind=TokenKind.CLIENT, role=Role.PUBLISH, platform=platform, name="ERP", created_at=5)

    bearer = bearer_of(client, "f" * 16, "secret")

    assert (bearer.id, bearer.kind, bearer.parent) == ("f" * 16, TokenKind.BEARER, client.id)
    assert (bearer.role, bearer.scope, bearer.platform) == (client.role, client.scope, platform)
    assert matches(bearer, "secret")
    assert not matches(bearer, SECRET)
