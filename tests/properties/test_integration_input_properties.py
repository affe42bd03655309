"""What holds of configurations whatever comes."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config.observable_events import load_catalogue
from deliverers.registry import DelivererRegistry
from deliverers.stomp import StompConfiguration
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.integration_input import register
from worker.domain.sealing import sealed, shown
from worker.domain.secrets_box import SecretsBox

CATALOGUE = load_catalogue()
TYPES = DelivererRegistry.load()
SECRETS = SecretsBox([SecretStr(Fernet.generate_key().decode())])

ADDRESSES = st.sampled_from(
    ["stomp://a.example", "stomp+ssl://b.example:61614", "https://a.example", "*"]
) | st.text().map("stomp://".__add__)
VALUES = st.none() | st.integers() | ADDRESSES | st.lists(ADDRESSES | st.integers(), max_size=4)
GIVEN = st.dictionaries(st.sampled_from(["url", "addresses", "destination", "password", "x"]), VALUES)
# Longer than what a mask shows.
KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=64)


def queue(access: str, secret: str) -> Integration:
    configuration = {
        "url": "https://sqs.example/1/orders",
        "aws_access_key_id": access,
        "aws_secret_access_key": secret,
        "region": "eu-west-1",
    }
    body = {"name": "n", "observes": ["order.paid"], "integration_type": "aws_sqs", "configuration": configuration}
    made = register(body, Scope("o", "s"), TYPES, CATALOGUE)
    assert isinstance(made, Integration)
    return made


@given(GIVEN)
def test_normalising_twice_changes_nothing_more_and_never_raises(configuration: dict[str, Any]) -> None:
    once = TYPES.normalised("stomp", configuration)

    assert TYPES.normalised("stomp", once) == once


@given(GIVEN)
def test_what_is_sound_was_normalised_to_addresses_and_keeps_no_url(configuration: dict[str, Any]) -> None:
    body = {"name": "n", "observes": ["order.paid"], "integration_type": "stomp", "configuration": configuration}

    found = register(body, Scope("o", "s"), TYPES, CATALOGUE)

    if isinstance(found, Integration):
        assert "url" not in found.configuration
        parsed = TYPES.parse_configuration("stomp", found.configuration)
        assert isinstance(parsed, StompConfiguration)
        assert list(parsed.addresses) == found.configuration["addresses"]


@given(access=KEYS, secret=KEYS, reveal=st.booleans())
def test_of_aws_keys_nobody_sees_more_than_four_characters(access: str, secret: str, reveal: bool) -> None:
    made = queue(access, secret)

    reported = shown(sealed(made, TYPES, SECRETS), TYPES, SECRETS, reveal=reveal).configuration

    for name, value in (("aws_access_key_id", access), ("aws_secret_access_key", secret)):
        assert reported[name] == "*" * (len(value) - 4) + value[-4:]


@given(access=KEYS, secret=KEYS)
def test_what_was_shown_can_be_sent_back_and_changes_nothing(access: str, secret: str) -> None:
    made = queue(access, secret)
    reported = shown(sealed(made, TYPES, SECRETS), TYPES, SECRETS).configuration

    assert register({"configuration": reported}, made.scope, TYPES, CATALOGUE, current=made) == made
