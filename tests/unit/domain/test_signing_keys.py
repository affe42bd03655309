"""Key pairs of an integration: made sealed, rotated with an overlap, and sealed anew."""

from base64 import b64decode

import pytest
from cryptography.fernet import Fernet
from nacl.signing import SigningKey as SodiumKey
from pydantic import SecretStr

from worker.domain.event import Refusal
from worker.domain.secrets_box import SecretsBox, SecretsError
from worker.domain.signing_keys import (
    LONGEST_OVERLAP,
    KeyPair,
    new_pair,
    opened_keys,
    overlap_problem,
    renewed,
    rotated,
    signing,
)

DAY = 86_400_000


def box(*keys: str) -> SecretsBox:
    return SecretsBox([SecretStr(key) for key in keys])


BOX = box(Fernet.generate_key().decode())


def pair(name: str, retires_at: int = 0) -> KeyPair:
    return KeyPair(name, f"whpk_{name}", "sealed:x", 0, retires_at)


def test_a_new_pair_is_sealed_and_another_library_agrees_on_its_public_key() -> None:
    made = new_pair(BOX, 5)
    private = BOX.open({"key": made.private_key}, ("key",))["key"]
    assert private.startswith("whsk_")
    sodium = SodiumKey(b64decode(private.removeprefix("whsk_")))
    assert bytes(sodium.verify_key) == b64decode(made.public_key.removeprefix("whpk_"))
    assert made.private_key.startswith("sealed:")
    assert private not in repr(made)
    assert made.private_key not in repr(made)
    (key,) = opened_keys([made], BOX)
    assert key.sign(b"message") == sodium.sign(b"message").signature
    with pytest.raises(SecretsError):
        new_pair(SecretsBox(), 5)


def test_a_replaced_key_signs_for_the_overlap_and_a_key_that_had_less_time_keeps_its_end() -> None:
    first = rotated(None, pair("a"), 0, 3600.0)
    assert first == (pair("a"),)
    second = rotated((pair("a"), pair("old", 1000)), pair("b"), 0, 3600.0)
    assert second == (pair("b"), pair("a", 3_600_000), pair("old", 1000))
    assert not isinstance(second, Refusal)
    assert [each.id for each in signing(second, 999)] == ["b", "a", "old"]
    assert [each.id for each in signing(second, 1000)] == ["b", "a"]
    assert [each.id for each in signing(second, 3_600_000)] == ["b"]


def test_an_overlap_of_0_ends_the_others_at_once() -> None:
    assert rotated((pair("a"), pair("b", DAY)), pair("c"), 5, 0) == (pair("c"),)


def test_more_keys_than_may_sign_at_once_are_refused() -> None:
    found = rotated((pair("c"), pair("b", DAY), pair("a", DAY)), pair("d"), 5, 60.0)
    assert isinstance(found, Refusal)
    assert found.field == "overlap"
    assert "at most 3 may" in found.reason


@pytest.mark.parametrize("overlap", [-1, LONGEST_OVERLAP + 1, True, "1h", float("nan")])
def test_an_overlap_that_is_none_is_refused(overlap: object) -> None:
    assert overlap_problem(overlap) == "must be seconds, from 0 to 2,592,000"
    assert overlap_problem(0) == overlap_problem(LONGEST_OVERLAP) == ""


def test_a_pair_survives_the_rotation_of_the_deployments_keys() -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    made = new_pair(box(old), 5)
    (moved,) = renewed([made], box(new, old)) or ()
    assert moved.private_key != made.private_key
    assert opened_keys([moved], box(new))[0].sign(b"x") == opened_keys([made], box(old))[0].sign(b"x")
    assert renewed([moved], box(new, old)) == (moved,)
    assert renewed(None, box(new)) is None
    with pytest.raises(SecretsError):
        opened_keys([made], box(new))
