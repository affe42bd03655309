"""compose.yaml by its specification's schema, and what the schema cannot know."""

import json
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are another package
import pytest

from config.units import seconds
from tests.integration.deploy.documents import DEPLOY, compose

SERVICES = compose()["services"]
OURS = ("worker", "api")


def test_it_is_what_the_specification_of_compose_says() -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())

    jsonschema.validators.validator_for(schema)(schema).validate(compose())


def test_there_are_two_workers_and_whatever_they_stand_on() -> None:
    assert set(SERVICES) == {"worker", "api", "redis", "rabbitmq", "prometheus", "grafana"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_only_the_rights_and_the_places_that_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # What is mounted from the sources is only read; what is written is a named volume.
    for source, _, rest in (volume.partition(":") for volume in service.get("volumes", ())):
        assert rest.endswith(":ro") if source.startswith(".") else source in compose()["volumes"]
    # Services that are called from outside are called on this machine.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_whether_it_is_well_and_is_waited_for(name: str) -> None:
    service = SERVICES[name]

    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert all(how == {"condition": "service_healthy"} for how in service.get("depends_on", {}).values())


def test_the_ledger_and_the_broker_are_reached_by_those_who_need_them() -> None:
    assert compose()["networks"]["servers"] == {"internal": True}
    assert SERVICES["redis"]["networks"] == ["servers"]
    assert all({"redis", "rabbitmq"} <= set(SERVICES[name]["depends_on"]) for name in OURS)


@pytest.mark.parametrize("name", OURS)
def test_who_was_asked_to_stop_has_the_time_to_drain(name: str, stop_seconds: float) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) > stop_seconds
    assert SERVICES[name]["environment"]["EDW_DRAIN_SECONDS"] == "30s"


def test_a_missing_secret_is_said_by_its_name_and_stands_in_the_example() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = {line.partition("=")[0] for line in (DEPLOY / ".env.example").read_text().splitlines() if "=" in line}
    asked = {word.partition(":")[0] for word in text.replace("$$", "").split("${")[1:]}

    assert asked == example - {""}
    assert all(part.partition(":")[2].startswith("?") for part in text.replace("$$", "").split("${")[1:])
    assert not [value for value in _values(compose()) if "guest" in value or "changeme" in value]


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or source.endswith("dashboards") or (DEPLOY / source).exists(), source


def _values(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [found for each in node.values() for found in _values(each)]
    if isinstance(node, list):
        return [found for each in node for found in _values(each)]
    return [str(node)]
