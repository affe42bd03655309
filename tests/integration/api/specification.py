"""The user's own specification, and assertions that an answer of the API is what it says."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are another package

from tests.api_client import Answer

SPECIFICATION = Path(__file__).parents[2] / "contract" / "integrations.schema.json"

CONFIGURATIONS = {
    "webhook": "WebhookConfigurationObject",
    "aws_sqs": "AWSSQSConfigurationObject",
    "stomp": "STOMPConfigurationObject",
}


def amended() -> dict[str, Any]:
    """The specification, less what of it nothing could fulfil. These are all the differences."""
    # It was cut out of an OpenAPI document, where the $defs were components: the references point nowhere.
    schema: dict[str, Any] = json.loads(SPECIFICATION.read_text().replace("#/components/schemas/", "#/$defs/"))
    defs = schema["$defs"]
    for name in ("IntegrationCreate", "IntegrationUpdate", "Integration"):
        # Of these, a webhook's asks for a `url` alone, which that of SQS has too: both match, and oneOf forbids that.
        configuration = defs[name]["properties"]["configuration"]
        configuration["anyOf"] = configuration.pop("oneOf")
    # A `url` is required and described nowhere; what is described are `addresses`. Either will do, with a destination.
    stomp = defs["STOMPConfigurationObject"]
    assert stomp["required"] == ["url"]
    stomp["required"] = ["destination"]
    stomp["anyOf"] = [{"required": ["addresses"]}, {"required": ["url"]}]
    # `observers` is required, and the property is called `observes`.
    required = defs["IntegrationCreate"]["required"]
    required[required.index("observers")] = "observes"
    return schema


SCHEMA = amended()


@cache
def validator(name: str) -> Draft202012Validator:
    reference = {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}
    return Draft202012Validator(reference, format_checker=Draft202012Validator.FORMAT_CHECKER)


def conforms(document: Any, *names: str) -> None:
    """The document is what each of the named $defs says."""
    problems = [f"{name}: {error.json_path}: {error.message}" for name in names for error in violations(name, document)]
    assert problems == [], document


def violations(name: str, document: Any) -> Iterator[Any]:
    """What of a document contradicts one of the $defs."""
    yield from validator(name).iter_errors(document)


def is_integration(document: Mapping[str, Any]) -> None:
    """An Integration with everything that the specification gives it, and its `configuration` of its own type."""
    conforms(document, "Integration", "Meta", "Links")
    described = set(SCHEMA["$defs"]["Integration"]["properties"])
    assert described <= set(document)
    conforms(document["configuration"], CONFIGURATIONS[document["integration_type"]])
    assert set(document["meta"]["timestamps"]) == {"created_at", "updated_at"}
    assert document["links"]["self"].endswith(f"/v2/integrations/{document['id']}")


def is_log(document: Mapping[str, Any]) -> None:
    """An IntegrationLog; the one thing that it may lack is the status code, where the receiver gave none."""
    conforms(document, "IntegrationLog", "Meta")
    described = set(SCHEMA["$defs"]["IntegrationLog"]["properties"]) - {"status_code"}
    assert described <= set(document)
    assert document["relationships"]["integration"]["data"]["type"] == "integration"
    assert document["relationships"]["job"]["data"]["type"] == "integration-job"
    assert set(document["meta"]["timestamps"]) == {"created_at"}
    assert isinstance(document["processing_time"], float)


def is_page(answer: Answer, links: str, present: set[str]) -> list[Any]:
    """A page whose links are as `links` describes them, and these; answers its records."""
    assert answer.status == 200, answer.raw
    document = answer.document
    conforms(document["results"], "Results")
    conforms(document["links"], links)
    assert set(document["links"]) == present
    assert set(document["links"]) <= set(SCHEMA["$defs"][links]["properties"])
    assert {"limit", "offset", "current", "total"} <= set(document["meta"])
    records: list[Any] = document["data"]
    return records


def is_refusal(answer: Answer, status: int) -> None:
    """An ErrorResponse."""
    assert answer.status == status, answer.raw
    assert answer.headers["Content-Type"] == "application/json"
    conforms(answer.document, "ErrorResponse")
    assert answer.errors
    for error in answer.errors:
        assert error["status"] == status
        assert error["title"]
        assert error["detail"]


def examples(name: str) -> dict[str, Any]:
    """The example of each property that has one."""
    properties = SCHEMA["$defs"][name]["properties"]
    return {field: described["example"] for field, described in properties.items() if "example" in described}
