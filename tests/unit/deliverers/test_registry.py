from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, quote_plus

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr, field_validator

from deliverers import registry
from deliverers.aws_sqs import AwsSqsConfiguration, AwsSqsDeliverer
from deliverers.contract import DelivererOptions, ShownToAdmin
from deliverers.redaction import without_secrets
from deliverers.registry import (
    BrokenPlugin,
    ConfigurationError,
    DelivererRegistry,
    Problem,
    UnknownIntegrationType,
    normalise_integration_type,
)
from deliverers.stomp import StompConfiguration, StompDeliverer
from deliverers.webhook import WebhookConfiguration, WebhookDeliverer

PLANTED = "planted-secret"


class HomingConfiguration(BaseModel):
    where: str
    keys: list[SecretStr] = []

    @field_validator("keys")
    @classmethod
    def _indiscreet(cls, value: list[SecretStr]) -> list[SecretStr]:
        raise ValueError(f"bad key {value[0].get_secret_value()}")


class Inner(BaseModel):
    token: SecretStr


class OpenConfiguration(BaseModel):
    fine: SecretStr | None = None
    several: tuple[SecretStr, ...] = ()
    inner: Inner | None = None
    by_name: dict[str, SecretStr] = {}
    by_number: dict[int, SecretStr] = {}
    raw: SecretBytes = SecretBytes(b"")
    api_key: SecretStr = Field(alias="apiKey")


class OpenDeliverer(WebhookDeliverer):
    integration_type: ClassVar[str] = "open"
    configuration_model: ClassVar[type[BaseModel]] = OpenConfiguration


class HomingDeliverer(WebhookDeliverer):
    integration_type: ClassVar[str] = "homing_pigeon"
    configuration_model: ClassVar[type[BaseModel]] = HomingConfiguration


def problems(configuration: Any, integration_type: str = "webhook") -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        DelivererRegistry((WebhookDeliverer, HomingDeliverer)).parse_configuration(integration_type, configuration)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert PLANTED not in shown.replace(repr(configuration), "")
    return caught.value.problems


def test_webhook_is_built_in() -> None:
    loaded = DelivererRegistry.load()
    assert "webhook" in loaded.types
    assert isinstance(loaded.create("webhook", DelivererOptions()), WebhookDeliverer)
    assert loaded.secret_fields("webhook") >= {"secret_key", "signing_keys", "headers"}


def test_a_configuration_becomes_the_deliverers_own_model() -> None:
    parsed = DelivererRegistry.load().parse_configuration(
        "webhook", {"url": "https://a.example/", "secret_key": PLANTED}
    )
    assert isinstance(parsed, WebhookConfiguration)
    assert parsed.secret_key == SecretStr(PLANTED)
    assert PLANTED not in repr(parsed)


def test_an_empty_secret_is_no_secret() -> None:
    parsed = DelivererRegistry.load().parse_configuration("webhook", {"url": "https://a.example/", "secret_key": ""})
    assert isinstance(parsed, WebhookConfiguration)
    assert parsed.secret_key is None


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(UnknownIntegrationType, match='did you mean "webhook"'):
        DelivererRegistry.load().get("webhok")


def test_the_types_of_the_specification_are_built_in() -> None:
    loaded = DelivererRegistry.load()

    assert loaded.types == ("webhook", "aws_sqs", "stomp")
    assert loaded.configuration_model("aws-sqs") is AwsSqsConfiguration
    assert loaded.secret_fields("aws_sqs") == {"aws_access_key_id", "aws_secret_access_key"}
    assert loaded.secret_fields("stomp") == {"password"}
    assert isinstance(
        loaded.parse_configuration("stomp", {"url": "stomp://a.example", "destination": "x"}), StompConfiguration
    )


def test_a_type_that_is_not_known_has_no_configuration() -> None:
    with pytest.raises(UnknownIntegrationType, match='did you mean "stomp".*has: webhook, aws_sqs, stomp'):
        DelivererRegistry.load().configuration_model("stmp")
    with pytest.raises(UnknownIntegrationType, match="has: webhook"):
        DelivererRegistry((WebhookDeliverer,)).configuration_model("stomp")


def test_an_admin_may_see_the_secrets_that_are_marked_for_it() -> None:
    class MarkedConfiguration(BaseModel):
        hidden: SecretStr
        shown: Annotated[list[SecretStr], ShownToAdmin()] = []
        plain: Annotated[str, ShownToAdmin()] = ""

    class MarkedDeliverer(HomingDeliverer):
        configuration_model: ClassVar[type[BaseModel]] = MarkedConfiguration

    found = DelivererRegistry((WebhookDeliverer, AwsSqsDeliverer, StompDeliverer, MarkedDeliverer))

    assert found.shown_fields("homing_pigeon") == {"shown"}
    assert found.shown_fields("webhook") == {"secret_key"}
    assert not found.shown_fields("aws_sqs") | found.shown_fields("stomp")


def test_a_configuration_is_normalised_where_its_model_can() -> None:
    found = DelivererRegistry.load()

    assert found.normalised("stomp", {"url": "stomp://a.example"}) == {"addresses": ["stomp://a.example"]}
    assert found.normalised("webhook", {"url": 5, "secret_key": None}) == {"url": 5, "secret_key": None}
    with pytest.raises(UnknownIntegrationType):
        found.normalised("stmp", {})


def test_a_problems_field_is_its_path_in_one_word() -> None:
    assert Problem(("configuration", "addresses", "0"), "x").field == "configuration.addresses.0"


def test_the_described_spelling_of_sqs_is_taken_for_the_enums() -> None:
    assert [normalise_integration_type(word) for word in ("aws-sqs", "aws_sqs", "x")] == ["aws_sqs", "aws_sqs", "x"]


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, Problem(("configuration", "url"), "is required")),
        ({"url": 5}, Problem(("configuration", "url"), "must be a string")),
        (
            {"url": "https://a.example/", "secret_kye": PLANTED},
            Problem(("configuration", "secret_kye"), 'is not a known key; did you mean "secret_key"?'),
        ),
        ([PLANTED], Problem(("configuration",), "must be an object")),
    ],
)
def test_a_bad_configuration_names_the_field_and_what_was_expected(configuration: Any, expected: Problem) -> None:
    assert problems(configuration) == (expected,)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must begin with https:// or http://"),
        ("ftp://a.example/", "must begin with"),
        ("javascript:alert(1)", "must begin with"),
        ("//a.example/", "must begin with"),
        ("https://", "must name a host"),
        ("https:///path", "must name a host"),
        ("https://user:pw@a.example/", "user name or a password"),
        ("https://@a.example/", "user name or a password"),
        ("https://a.example:0/", "port"),
        ("https://a.example:99999/", "port"),
        ("https://a.example:x/", "port"),
        ("https://a.example/\r\nX: y", "spaces, control characters"),
        (" https://a.example/", "spaces, control characters"),
        ("https://a.example\\@b.example/", "backslashes"),
        ("https://a..example/", "host name"),
        ("https://" + "a" * 64 + ".example/", "host name"),
        ("https://2130706433/", "four decimal numbers"),
        ("https://0x7f.1/", "four decimal numbers"),
        ("https://127.1/", "four decimal numbers"),
        ("https://loc%61lhost/", "without percent signs"),
        ("https://a.example%2f/", "without percent signs"),
        ("https://0177.0.0.1/", "four decimal numbers"),
        ("https://[::1/", "not a valid URL"),
        ("https://a.example/" + "x" * 2048, "at most 2048 characters"),
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str, words: str) -> None:
    ((field, message),) = ((problem.field, problem.message) for problem in problems({"url": url}))
    assert field == "configuration.url"
    assert words in message


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "HTTP://a.example:8080/a/b?c=d#e",
        "https://bücher.example/",
        "https://127.0.0.1/",
        "https://[2606:4700::1111]:8443/x",
        "https://a.example./",
        "https://a_b.example/%20",
    ],
)
def test_a_sound_url_is_kept_as_it_was_written(url: str) -> None:
    parsed = DelivererRegistry.load().parse_configuration("webhook", {"url": url})
    assert isinstance(parsed, WebhookConfiguration)
    assert parsed.url == url


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("\r\nX: y", "line breaks"),
        ("\n", "line breaks"),
        ("\0", "NUL"),
        ("é", "visible ASCII"),
        ("\t", "visible ASCII"),
        (" ", "visible ASCII"),
        ("x" * 4096, "at most 4096"),
    ],
)
def test_a_secret_that_fits_no_header_is_refused_without_showing_it(ending: str, words: str) -> None:
    (problem,) = problems({"url": "https://a.example/", "secret_key": PLANTED + ending})
    assert problem.field == "configuration.secret_key"
    assert words in problem.message


def test_an_indiscreet_plug_in_shows_no_secret_either() -> None:
    (problem,) = problems({"where": "roof", "keys": [PLANTED]}, "homing_pigeon")
    assert problem == Problem(("configuration", "keys"), "bad key ********")


def test_a_plug_in_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    use_entry_points(monkeypatch, f"{__name__}:HomingDeliverer")
    loaded = DelivererRegistry.load()
    assert loaded.types[-1] == "homing_pigeon"
    assert loaded.secret_fields("homing_pigeon") == {"keys"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no.such.module:Deliverer", "cannot be loaded"),
        ("json:dumps", "no configuration_model"),
        ("deliverers.webhook:WebhookDeliverer", "two deliverers"),
        (f"{__name__}:OpenDeliverer", r"stored in the clear: inner, by_number, raw, api_key \("),
    ],
)
def test_a_broken_plug_in_is_named(monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    use_entry_points(monkeypatch, value)
    with pytest.raises(BrokenPlugin, match=words):
        DelivererRegistry.load()


def use_entry_points(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    point = EntryPoint("pigeon", value, registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINT_GROUP else [])


class ShortKeyConfiguration(BaseModel):
    where: str
    key: SecretStr

    @field_validator("where")
    @classmethod
    def _must_be_a_roof(cls, value: str) -> str:
        if value != "roof":
            raise ValueError("must be the name of a roof or a tower")
        return value


class ShortKeyDeliverer(WebhookDeliverer):
    integration_type: ClassVar[str] = "short_key"
    configuration_model: ClassVar[type[BaseModel]] = ShortKeyConfiguration


@pytest.mark.parametrize("secret", ["a", "roof", "tower"])
def test_a_plug_ins_words_show_no_letters_of_a_short_secret_by_a_gap(secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        DelivererRegistry((ShortKeyDeliverer,)).parse_configuration("short_key", {"where": "x", "key": secret})
    assert [problem.message for problem in caught.value.problems] == [
        "is not accepted (the reason repeats a secret, and is not shown)"
    ]


@pytest.mark.parametrize("secret", ["e", "must", "s", "control characters"])
def test_our_own_words_are_the_same_whatever_the_secret_is(secret: str) -> None:
    given = {"destination": "a\nb", "addresses": ["stomp://a.example"], "password": secret}
    with pytest.raises(ConfigurationError, match="must not contain control characters"):
        DelivererRegistry.load().parse_configuration("stomp", given)


@pytest.mark.parametrize("secret", ["a secret\nof 'two' \"lines\"", "geheime Schlüssel/+", "🚲🚲🚲🚲🚲🚲🚲🚲🚲🚲🚲🚲"])
@pytest.mark.parametrize("written", [str, repr, json.dumps, quote, quote_plus, lambda text: quote(text, safe="")])
def test_a_secret_is_found_in_every_form_in_which_code_repeats_it(secret: str, written: Callable[[str], str]) -> None:
    reported = without_secrets([secret], f"bad key {written(secret)}, used twice: {written(secret)}")

    assert reported.replace("'", "").replace('"', "") == "bad key ********, used twice: ********"
