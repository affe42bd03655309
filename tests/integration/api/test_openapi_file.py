"""The published description: it is fresh, and what receivers get is as it describes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are another package

from deliverers.aws_sqs import AwsSqsDeliverer
from deliverers.envelopes import cloudevent_body, webhook_body
from deliverers.testing import TRACE, a_delivery
from deliverers.webhook import WebhookDeliverer
from tests.pages import ROOT
from tests.samples import SCOPE, warnings
from worker.api.openapi_file import main, published
from worker.domain.api_token import make_secret, new_id, written
from worker.domain.lifecycle import WARNINGS
from worker.integrations.redelivery import Place
from worker.ledger.pages import Cursor

PUBLISHED = ROOT / "worker/api/openapi.json"
DESCRIBED = json.loads(PUBLISHED.read_text())
URL = {"url": "https://shop.example/hook", "secret_key": "correct horse battery"}
SQS = {
    "url": "https://sqs.eu-west-1.amazonaws.com/123456789/orders",
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "region": "eu-west-1",
}
STOMP = {"destination": "/queue/a", "addresses": ["stomp://b.example"], "username": "me", "password": "p4ss"}
#: Deliveries of every shape.
SHAPES: dict[str, dict[str, Any]] = {
    "a resource": {},
    "without included resources": {"included": None},
    "a flat payload": {"flat": True, "included": None, "data": b'{"purpose":"reset"}'},
    "a deletion": {"triggered_by": "order.deleted"},
    "a flat deletion": {"triggered_by": "catalog-release.deleted", "flat": True, "included": None, "data": b'{"a":1}'},
    "a custom API": {"triggered_by": "wishlist_ext.created"},
    "an organisation": {"store_id": None},
    "a single store": {"org_id": None},
    "traced": {"trace": TRACE},
}


def described(schema: Any) -> Draft202012Validator:
    """The validator of a part of the description."""
    return Draft202012Validator({**schema, "components": DESCRIBED["components"]})


def component(name: str) -> Draft202012Validator:
    return described({"$ref": f"#/components/schemas/{name}"})


def received(webhook: str) -> Draft202012Validator:
    """The validator of what one of the description's webhooks sends."""
    (content,) = DESCRIBED["webhooks"][webhook]["post"]["requestBody"]["content"].values()
    return described(content["schema"])


def test_it_is_fresh() -> None:
    assert PUBLISHED.read_text() == published(), "stale: run make fmt"


def test_a_stale_one_is_found_and_renewed(tmp_path: Path) -> None:
    path = tmp_path / "openapi.json"
    path.write_text(published().replace("Integrations", "integrations"))
    assert "is stale; run:" in str(main(["--check", str(path)]))
    assert main(["--write", str(path)]) is None
    assert main(["--check", str(path)]) is None


def test_it_has_no_plug_in_and_no_key_of_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDW_OBSERVABLE_KEYS", "warranty.registered")
    assert "warranty.registered" not in published()
    assert DESCRIBED["components"]["schemas"]["NewIntegration"]["properties"]["integration_type"]["enum"] == [
        "webhook",
        "aws_sqs",
        "stomp",
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("secret", [None, "", "correct horse battery"])
def test_a_webhooks_body_is_as_described(shape: str, secret: str | None) -> None:
    delivery = replace(a_delivery(WebhookDeliverer, URL), **SHAPES[shape])
    received("webhook").validate(json.loads(webhook_body(delivery, secret)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_queues_message_is_as_described(shape: str) -> None:
    delivery = replace(a_delivery(AwsSqsDeliverer, SQS), **SHAPES[shape])
    received("message").validate(json.loads(cloudevent_body(delivery)))


@pytest.mark.parametrize(("key", "data"), warnings().items())
def test_a_lifecycle_event_is_as_described(key: str, data: dict[str, Any]) -> None:
    assert set(warnings()) == set(WARNINGS)
    delivery = replace(
        a_delivery(WebhookDeliverer, URL), triggered_by=key, included=None, data=json.dumps(data).encode()
    )
    body = json.loads(webhook_body(delivery))
    received(key).validate(body)
    for left_out in ("name", "links"):
        del body["payload"]["data"][left_out]
    assert not received(key).is_valid(body)


@pytest.mark.parametrize("left_out", ["id", "triggered_by", "payload", "resources", "integration", "configuration"])
def test_a_body_without_an_attribute_is_not_as_described(left_out: str) -> None:
    body = json.loads(webhook_body(a_delivery(WebhookDeliverer, URL)))
    del body[left_out]
    assert not received("webhook").is_valid(body)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("WebhookConfiguration", URL, [{"secret_key": " x"}, {"secret_key": "a\nb"}, {"secret_key": "x" * 4097}]),
        ("WebhookConfiguration", URL, [{"signing_keys": ["secret"]}, {"signing_keys": ["whsec_" + "A" * 32] * 3}]),
        ("AwsSqsConfiguration", SQS, [{"aws_access_key_id": "A B"}, {"aws_secret_access_key": ""}, {"region": "EU"}]),
        ("StompConfiguration", STOMP, [{"username": "a\nb"}, {"password": "x" * 1025}]),
        (
            "Credentials",
            {"grant_type": "client_credentials", "client_id": new_id(), "client_secret": make_secret()},
            [{"client_id": "x"}, {"client_secret": "x"}],
        ),
        (
            "AccessToken",
            {
                "access_token": written(new_id(), make_secret()),
                "expires": 1,
                "expires_in": 1,
                "token_type": "Bearer",
                "identifier": "client_credentials",
            },
            [{"access_token": "x"}],
        ),
    ],
)
def test_credentials_have_patterns(name: str, good: dict[str, str], bad: list[dict[str, Any]]) -> None:
    component(name).validate(good)
    assert [each for each in bad if component(name).is_valid(good | each)] == []


def test_what_the_models_take_the_patterns_take() -> None:
    keys = ["whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "whsec_" + "A" * 86 + "=="]
    component("WebhookConfiguration").validate(URL | {"signing_keys": keys, "secret_key": "a"})
    component("WebhookConfiguration").validate(URL | {"signing_keys": None, "secret_key": ""})
    component("StompConfiguration").validate(STOMP | {"username": None, "password": "pä ss"})


@pytest.mark.parametrize(
    ("operation", "name", "good", "bad"),
    [
        ("/v2/integrations", "filter", ["eq(enabled,true):eq(name,a b)"], ["enabled=true", "eq(id,x)", "eq(name,a)x"]),
        ("/v2/integrations", "sort", ["name,-created_at,updated_at", "-name"], ["names", "name,", "id"]),
        ("/v2/integrations/logs", "filter", ["ge(created_at,2026-11-24T00:00:00Z)"], ["eq(name,x)", ""]),
        ("/v2/integrations/{integration_id}/jobs", "filter", ["eq(state,failed)"], ["like(state,f)"]),
    ],
)
def test_parameters_of_lists_have_patterns(operation: str, name: str, good: list[str], bad: list[str]) -> None:
    parameters = {each["name"]: each for each in DESCRIBED["paths"][operation]["get"]["parameters"]}
    validator = described(parameters[name]["schema"])
    assert [each for each in good if not validator.is_valid(each)] == []
    assert [each for each in bad if validator.is_valid(each)] == []


def test_a_cursor_has_a_pattern() -> None:
    redeliver = DESCRIBED["paths"]["/v2/integrations/{integration_id}/redeliver"]["post"]["parameters"]
    (schema,) = [each["schema"] for each in redeliver if each["name"] == "cursor"]
    for after in ("", "2da46671-b4c2-44ac-b133-d1221aafc77b"):
        assert described(schema).is_valid(str(Place("jobs", Cursor(1_764_000_000_000, after))))
    assert not described(schema).is_valid("anything")


@pytest.mark.parametrize(
    ("content", "valid"),
    [({"data": {}}, True), ({"payload": {}}, True), ({"data": {}, "payload": {}}, False), ({}, False)],
)
def test_an_event_has_either_a_resource_or_a_payload(content: dict[str, Any], valid: bool) -> None:
    event = {"type": "order.paid", "store_id": SCOPE.store_id} | content
    assert component("EventAttributes").is_valid(event) is valid
