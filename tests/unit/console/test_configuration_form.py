"""The form of a configuration: from any model, and back to the configuration."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, SecretStr

from deliverers.registry import DelivererRegistry
from worker.console.configuration_form import PREFIX, InputKind, configuration_of, fields_of


class PluginModel(BaseModel):
    """A plug-in's configuration with a field of each kind."""

    host: str
    port: int = 25
    password: SecretStr | None = None
    recipients: list[str]
    tls: bool | None = None
    level: Literal["low", "high"] = "low"
    headers: dict[str, str] | None = None
    sizes: dict[str, int] | None = None


def kinds(model: type[BaseModel]) -> dict[str, tuple[InputKind, bool, bool]]:
    return {each.name: (each.kind, each.required, each.secret) for each in fields_of(model, {})}


def test_a_plug_ins_model_has_a_form() -> None:
    assert kinds(PluginModel) == {
        "host": (InputKind.TEXT, True, False),
        "port": (InputKind.NUMBER, False, False),
        "password": (InputKind.TEXT, False, True),
        "recipients": (InputKind.LINES, True, False),
        "tls": (InputKind.CHOICE, False, False),
        "level": (InputKind.CHOICE, False, False),
        "headers": (InputKind.PAIRS, False, False),
        "sizes": (InputKind.JSON, False, False),
    }


@pytest.mark.parametrize("kind", DelivererRegistry.load().types)
def test_every_built_in_type_has_a_form_without_raw_json(kind: str) -> None:
    fields = fields_of(DelivererRegistry.load().get(kind).configuration_model, {})
    assert fields
    assert all(each.kind is not InputKind.JSON for each in fields)


def test_what_a_form_shows_is_what_it_sends_back() -> None:
    configuration: dict[str, Any] = {
        "host": "mail.example",
        "port": 587,
        "password": "********word",
        "recipients": ["a@example.com", "b@example.com"],
        "tls": False,
        "level": "high",
        "headers": {"X-A": "ü"},
        "sizes": {"a": 1},
    }
    form = {PREFIX + each.name: each.value for each in fields_of(PluginModel, configuration)}
    assert configuration_of(PluginModel, form) == configuration


def test_a_field_that_is_left_empty_is_left_out() -> None:
    form = {PREFIX + "host": "mail.example", PREFIX + "recipients": " \r\n a@example.com \r\n", PREFIX + "tls": ""}
    assert configuration_of(PluginModel, form) == {"host": "mail.example", "recipients": ["a@example.com"]}


def test_what_is_no_number_reaches_the_models_own_validation() -> None:
    assert configuration_of(PluginModel, {PREFIX + "port": "twenty-five"}) == {"port": "twenty-five"}


def test_headers_are_entered_one_on_each_line_and_a_certificate_as_it_is() -> None:
    model = DelivererRegistry.built_in().get("webhook").configuration_model
    shown = {each.name: each for each in fields_of(model, {"url": "u", "headers": {"X-A": "********", "X-B": "c: d"}})}
    assert (shown["headers"].kind, shown["headers"].secret) == (InputKind.PAIRS, True)
    assert shown["headers"].value == "X-A: ********\nX-B: c: d"
    assert shown["headers"].note.startswith("Further headers")
    sent = configuration_of(model, {f"{PREFIX}headers": "X-A: ********\r\n\r\n X-B :c: d \r\n"})
    assert sent == {"headers": {"X-A": "********", "X-B": "c: d"}}
