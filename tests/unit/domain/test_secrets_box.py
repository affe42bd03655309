"""Secrets at rest."""

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from worker.domain.secrets_box import SecretsBox, SecretsError

SECRET = "a-key-that-nobody-may-see"


def key() -> SecretStr:
    return SecretStr(Fernet.generate_key().decode())


def test_what_was_sealed_opens_to_what_it_was() -> None:
    box = SecretsBox([key()])
    given = {
        "url": "https://x",
        "secret_key": SECRET,
        "keys": ["a", "ü🚲", ""],
        "named": {"X": SECRET},
        "other": SECRET,
    }
    fields = ["secret_key", "keys", "named", "not there"]
    sealed = box.seal(given, fields)

    assert sealed["secret_key"].startswith("sealed:")
    assert all(each.startswith("sealed:") for each in sealed["keys"])
    assert (sealed["url"], sealed["other"]) == ("https://x", SECRET)
    assert list(sealed["named"]) == ["X"]
    assert SECRET not in str([sealed["secret_key"], sealed["keys"], sealed["named"]])
    renewed = SecretsBox([key()]).seal(box.open(sealed, fields), fields)
    assert box.renewed(sealed, fields) == sealed != renewed
    assert box.open(sealed, fields) == given
    assert given["secret_key"] == SECRET


def test_one_secret_is_sealed_differently_every_time() -> None:
    box = SecretsBox([key()])
    assert box.seal({"s": SECRET}, ["s"]) != box.seal({"s": SECRET}, ["s"])


def test_a_secret_that_is_none_stays_none() -> None:
    assert SecretsBox().seal({"s": None}, ["s"]) == {"s": None}
    assert SecretsBox([key()]).open({"s": None}, ["s"]) == {"s": None}


def test_after_a_rotation_old_secrets_open_and_new_ones_are_sealed_with_the_new_key() -> None:
    old, new = key(), key()
    sealed = SecretsBox([old]).seal({"s": SECRET}, ["s"])
    both = SecretsBox([new, old])
    assert both.open(sealed, ["s"]) == {"s": SECRET}
    assert SecretsBox([new]).open(both.seal({"s": SECRET}, ["s"]), ["s"]) == {"s": SECRET}
    with pytest.raises(SecretsError, match="none of the keys in EDW_SECRETS_KEYS opens"):
        SecretsBox([new]).open(sealed, ["s"])


def test_without_a_key_no_secret_is_stored_and_the_error_says_how_to_make_one() -> None:
    with pytest.raises(SecretsError, match="EDW_SECRETS_KEYS is not set") as raised:
        SecretsBox().seal({"s": SECRET}, ["s"])
    assert "Fernet.generate_key()" in str(raised.value)
    assert SECRET not in str(raised.value)
    assert SecretsBox().seal({"url": "https://x"}, ["s"]) == {"url": "https://x"}


def test_without_a_key_no_secret_is_read() -> None:
    sealed = SecretsBox([key()]).seal({"s": SECRET}, ["s"])
    with pytest.raises(SecretsError, match="EDW_SECRETS_KEYS is not set"):
        SecretsBox().open(sealed, ["s"])


@pytest.mark.parametrize("value", [SECRET, "", "sealed", "sealed:", "sealed:" + SECRET, "sealed:ü"])
def test_what_is_not_sealed_or_was_tampered_with_is_an_error_that_does_not_show_it(value: str) -> None:
    with pytest.raises(SecretsError) as raised:
        SecretsBox([key()]).open({"s": value}, ["s"])
    assert SECRET not in str(raised.value)


def test_a_box_shows_neither_keys_nor_secrets() -> None:
    secret = key()
    box = SecretsBox([secret])
    assert secret.get_secret_value() not in repr(box) + str(box) + repr(vars(box))


def test_renewing_seals_with_the_newest_key_and_leaves_what_is_sealed_with_it() -> None:
    old, new = key(), key()
    fields = ["secret_key", "keys"]
    sealed = SecretsBox([old]).seal({"secret_key": SECRET, "keys": ["a", "b"], "url": "u"}, fields)
    renewed = SecretsBox([new, old]).renewed(sealed, fields)

    assert SecretsBox([new]).open(renewed, fields) == {"secret_key": SECRET, "keys": ["a", "b"], "url": "u"}
    assert SecretsBox([new, old]).renewed(renewed, fields) == renewed
    with pytest.raises(SecretsError):
        SecretsBox([new]).renewed(sealed, fields)
