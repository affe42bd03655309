from __future__ import annotations

import json
from dataclasses import replace

import pytest

from deliverers.contract import Delivery
from deliverers.envelopes import webhook_body


def test_a_webhook_receives_what_the_specification_lists(delivery: Delivery) -> None:
    body = json.loads(webhook_body(delivery))
    payload = {"data": json.loads(delivery.data), "included": {"items": []}}
    assert json.loads(body.pop("resources")) == payload
    assert body == {
        "id": "event-1",
        "triggered_by": "order.paid",
        "attempt": 2,
        "integration": {
            "id": "int-1",
            "integration_type": "webhook",
            "name": "Orders",
            "description": "to the warehouse",
        },
        "payload": payload,
        "store_id": "store-1",
        "org_id": "org-1",
        "configuration": {"url": "https://shop.example/hook"},
    }


def test_resources_arrive_byte_for_byte(delivery: Delivery) -> None:
    body = webhook_body(delivery)
    assert b'"payload":{"data":' + delivery.data + b',"included":{"items":[]}}' in body
    assert json.loads(body)["resources"] == f'{{"data":{delivery.data.decode()},"included":{{"items":[]}}}}'


def test_a_secret_never_enters_a_body(delivery: Delivery) -> None:
    assert b"s3cr3t" not in webhook_body(delivery)


def test_what_the_event_does_not_carry_is_left_out(delivery: Delivery) -> None:
    body = json.loads(webhook_body(replace(delivery, included=None, store_id=None)))
    assert "store_id" not in body
    assert body["org_id"] == "org-1"
    assert list(body["payload"]) == ["data"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"type":"order","id":"o-1","name":"x"}', b'{"type":"order","id":"o-1"}'),
        (b' { "id" : "o-1" , "type" : "order-v2" } ', b'{"type":"order-v2","id":"o-1"}'),
        (b'{"id":"o-1"}', b'{"type":"order","id":"o-1"}'),
        (b'{"id":123456789012345678901234567890}', b'{"type":"order","id":123456789012345678901234567890}'),
        (b'{"type":7,"id":{"a":1}}', b'{"type":"order","id":null}'),
        (b'{"id":true}', b'{"type":"order","id":null}'),
        (b"{}", b'{"type":"order","id":null}'),
        (b"null", b'{"type":"order","id":null}'),
        (b'[{"id":"o-1"}]', b'{"type":"order","id":null}'),
        (b"not json", b'{"type":"order","id":null}'),
        (b"\xff\xfe", b'{"type":"order","id":null}'),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"type":"order","id":null}'),
    ],
)
def test_of_a_deleted_resource_only_its_type_and_id_are_told(delivery: Delivery, data: bytes, told: bytes) -> None:
    body = webhook_body(replace(delivery, triggered_by="order.deleted", data=data))
    assert b'"payload":' + told + b',"resources":' + told + b"," in body
    assert isinstance(json.loads(body)["resources"], dict)


def test_bytes_that_are_not_utf8_still_make_a_json_body(delivery: Delivery) -> None:
    body = json.loads(webhook_body(replace(delivery, data=b'{"name":"\xff"}')))
    assert body["payload"]["data"] == {"name": "\N{REPLACEMENT CHARACTER}"}
