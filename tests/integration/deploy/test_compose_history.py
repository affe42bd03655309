"""compose.history.yaml by its specification's schema, and beside compose.yaml."""

import json
from importlib.resources import files

import jsonschema  # type: ignore[import-untyped]  # its stubs are another package
import yaml

from tests.integration.deploy.documents import DEPLOY, compose

HISTORY = yaml.safe_load((DEPLOY / "compose.history.yaml").read_text())


def test_it_is_what_the_specification_of_compose_says() -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())

    jsonschema.validators.validator_for(schema)(schema).validate(HISTORY)


def test_it_adds_one_server_that_only_our_processes_reach() -> None:
    assert set(HISTORY["services"]) - set(compose()["services"]) == {"postgres"}
    server = HISTORY["services"]["postgres"]
    assert (server["networks"], server["read_only"], server["cap_drop"]) == (["servers"], True, ["ALL"])
    assert "ports" not in server
    for name in ("worker", "api"):
        changed = HISTORY["services"][name]
        assert set(changed) == {"environment", "depends_on"}
        assert set(changed["environment"]) == {"EDW_HISTORY_URL"}
        assert changed["depends_on"] == {"postgres": {"condition": "service_healthy"}}
