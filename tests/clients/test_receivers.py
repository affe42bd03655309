"""What receivers get, read by the libraries that receivers use: CloudEvents of a queue, and signatures of webhooks."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.clients.client_site import ClientSite, PostedWebhook
from tests.clients.dev import Dev
from tests.clients.runtimes import GO, HERE, JAVA, JAVASCRIPT, as_module
from tests.counterparts.emulator import REGION
from tests.counterparts.ministack import Ministack
from tests.waiting import wait_until

QUEUE = "of-clients"
KEY, OTHER_KEY = ("whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"k", b"o"))
PRODUCT = {
    "type": "product",
    "id": "p-1",
    "name": "Zoë's 🧥",
    "price": 10.5,
    "tags": ["a", None],
    "in": {"stock": True},
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FLAT = {"purpose": "reset", "one_time_password_token": "t"}
WISH = {"type": "wishlist_ext", "id": "w-1"}
FILES = [{"type": "file", "id": "f-1"}]
#: One event of each shape.
EVENTS: list[dict[str, Any]] = [
    {"type": "product.created", "data": PRODUCT},
    {"type": "product.updated", "data": PRODUCT, "included": FILES, "source": "https://s.example"},
    {"type": "product.deleted", "data": PRODUCT},
    {"type": "one-time-password-token-request.created", "payload": FLAT},
    {"type": "wishlist_ext.created", "data": WISH, "time": "2026-11-23T21:41:00.5+01:00"},
    {"type": "order.paid", "data": {"type": "order", "id": "o-1"}, "traceparent": TRACE},
]


def publish(dev: Dev, integration_type: str, configuration: Mapping[str, Any], prefix: str) -> None:
    """Publish one event of each shape to a new integration."""
    observes = [each["type"] for each in EVENTS]
    attributes = {"name": prefix, "integration_type": integration_type, "observes": observes}
    dev.ask("/v2/integrations", attributes | {"configuration": configuration})
    dev.ask("/v2/events", [each | {"id": f"{prefix}-{number}"} for number, each in enumerate(EVENTS)])


@pytest.fixture(scope="module")
def messages(dev: Dev, ministack: Ministack) -> list[str]:
    """The CloudEvents that a queue received, each as one line."""
    queue, client = ministack.create_queue(QUEUE), ministack.client("sqs")
    keys = ministack.create_user("sqs:SendMessage", "sqs:SendMessageBatch")
    configuration = {
        "url": f"https://sqs.{REGION}.amazonaws.com/000000000000/{QUEUE}",
        "aws_access_key_id": keys[0],
        "aws_secret_access_key": keys[1],
        "region": REGION,
    }
    publish(dev, "aws_sqs", configuration, "queued")
    # By id: a queue shows a message again that nobody deleted.
    found: dict[str, str] = {}

    def all_came() -> bool:
        answer = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        found.update({json.loads(each["Body"])["id"]: each["Body"] for each in answer.get("Messages", ())})
        return len(found) == len(EVENTS)

    wait_until(all_came, "every event is in the queue")
    return list(found.values())


@pytest.fixture(scope="module")
def webhooks(dev: Dev, site: ClientSite) -> list[PostedWebhook]:
    """The signed webhooks that a receiver got."""
    publish(dev, "webhook", {"url": site.hook, "signing_keys": [KEY]}, "posted")

    def posted() -> list[PostedWebhook]:
        return [each for each in site.webhooks if json.loads(each.body)["id"].startswith("posted-")]

    wait_until(lambda: len({each.headers["webhook-id"] for each in posted()}) == len(EVENTS), "every webhook came")
    return posted()


def of_python(messages: list[str], _: Path) -> list[dict[str, Any]]:
    events = [
        from_http_event(HTTPMessage({"content-type": "application/cloudevents+json"}, each.encode()), JSONFormat())
        for each in messages
    ]
    return [{**each.get_attributes(), "data": each.get_data()} for each in events]


def of_javascript(messages: list[str], folder: Path) -> list[dict[str, Any]]:
    return lines(JAVASCRIPT.run(as_module(HERE / "javascript/cloudevents.mjs", folder), stdin="\n".join(messages)))


def of_go(messages: list[str], _: Path) -> list[dict[str, Any]]:
    return lines(GO.run(HERE / "go/cloudevents/main.go", stdin="\n".join(messages)))


def of_java(messages: list[str], _: Path) -> list[dict[str, Any]]:
    return lines(JAVA.run(HERE / "java/CloudEvents.java", stdin="\n".join(messages)))


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


READERS: list[Callable[[list[str], Path], list[dict[str, Any]]]] = [of_python, of_javascript, of_go, of_java]


@pytest.mark.parametrize("read", READERS)
def test_a_cloudevent_sdk_reads_what_was_sent(
    messages: list[str], read: Callable[[list[str], Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    assert [comparable(each) for each in read(messages, tmp_path)] == [
        comparable(json.loads(each)) for each in messages
    ]


def test_the_messages_are_those_of_the_events(messages: list[str]) -> None:
    found = {each["id"]: each for each in map(json.loads, messages)}
    assert [found[f"queued-{number}"]["type"] for number in range(len(EVENTS))] == [each["type"] for each in EVENTS]
    assert [found[f"queued-{number}"]["data"] for number in range(len(EVENTS))] == [
        PRODUCT,
        PRODUCT | {"included": FILES},
        {"type": "product", "id": "p-1"},
        FLAT,
        WISH,
        EVENTS[5]["data"],
    ]
    assert TRACE.split("-")[1] in found["queued-5"]["traceparent"]


def comparable(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event without the differences between SDKs: how they write a time, a number, and an empty attribute."""
    found = {name: value for name, value in event.items() if value is not None}
    time = found["time"]
    found["time"] = time if isinstance(time, datetime) else datetime.fromisoformat(time)
    return found | {"attempt": int(found["attempt"])}


def by_python(webhook: Mapping[str, Any]) -> bool:
    try:
        Webhook(webhook["key"]).verify(base64.b64decode(webhook["body"]), webhook["headers"])
    except WebhookVerificationError:
        return False
    return True


def test_the_libraries_verify_signatures_and_refuse_what_was_changed(
    webhooks: list[PostedWebhook], tmp_path: Path
) -> None:
    genuine = [{"key": KEY, "headers": each.headers, "body": encoded(each.body)} for each in webhooks]
    first, second = genuine[0], genuine[1]
    forged = [
        first | {"key": OTHER_KEY},
        first | {"body": encoded(webhooks[0].body + b" ")},
        first | {"body": second["body"]},
        first | {"headers": {**webhooks[0].headers, "webhook-id": "another"}},
        first | {"headers": {**webhooks[0].headers, "webhook-timestamp": "1"}},
    ]
    expected = [True] * len(genuine) + [False] * len(forged)
    assert [by_python(each) for each in genuine + forged] == expected
    program = as_module(HERE / "javascript/webhooks.mjs", tmp_path)
    given = "\n".join(json.dumps(each) for each in genuine + forged)
    assert [json.loads(each) for each in JAVASCRIPT.run(program, stdin=given).split()] == expected


def encoded(body: bytes) -> str:
    return base64.b64encode(body).decode()
