from __future__ import annotations

import json
from dataclasses import replace

import pytest

from deliverers.contract import Delivery
from deliverers.envelopes import can_be_elided, cloudevent_body, webhook_body


def test_a_webhook_receives_what_the_specification_lists(delivery: Delivery) -> None:
    body = json.loads(webhook_body(delivery))
    payload = {"data": json.loads(delivery.data), "included": {"items": []}}
    assert json.loads(body.pop("resources")) == payload
    assert body == {
        "id": "event-1",
        "triggered_by": "order.paid",
        "attempt": 2,
        "sequence": 0,
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


def test_a_sequence_grows_as_a_number_and_as_a_text(delivery: Delivery) -> None:
    bodies = [replace(delivery, sequence=each) for each in (999_999_999_999_999, 1_795_910_400_000_001)]
    assert [json.loads(webhook_body(each))["sequence"] for each in bodies] == [
        999_999_999_999_999,
        1_795_910_400_000_001,
    ]
    older, newer = (json.loads(cloudevent_body(each))["sequence"] for each in bodies)
    assert (older < newer, len(older), int(newer)) == (True, 20, 1_795_910_400_000_001)


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
    ("data", "reported"),
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
def test_of_a_deleted_resource_only_its_type_and_id_are_sent(delivery: Delivery, data: bytes, reported: bytes) -> None:
    body = webhook_body(replace(delivery, triggered_by="order.deleted", data=data))
    assert b'"payload":' + reported + b',"resources":' + reported + b"," in body
    assert isinstance(json.loads(body)["resources"], dict)


def test_bytes_that_are_not_utf8_still_make_a_json_body(delivery: Delivery) -> None:
    body = json.loads(webhook_body(replace(delivery, data=b'{"name":"\xff"}')))
    assert body["payload"]["data"] == {"name": "\N{REPLACEMENT CHARACTER}"}


def test_a_queue_receives_a_cloudevent(delivery: Delivery) -> None:
    assert json.loads(cloudevent_body(replace(delivery, included=None, source="https://store.example"))) == {
        "specversion": "1.0",
        "id": "event-1",
        "source": "https://store.example",
        "type": "order.paid",
        "time": "2026-11-23T12:00:00Z",
        "datacontenttype": "application/json",
        "integrationid": "int-1",
        "storeid": "store-1",
        "orgid": "org-1",
        "sequence": "00000000000000000000",
        "attempt": 2,
        "data": json.loads(delivery.data),
    }


def test_a_queue_receives_the_resource_byte_for_byte(delivery: Delivery) -> None:
    assert b'"data":' + delivery.data + b"}" in cloudevent_body(replace(delivery, included=None))
    assert delivery.data[:-1] + b',"included":{"items":[]}}}' in cloudevent_body(delivery)


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (b"{}", b'{"included":{"items":[]}}'),
        (b" {\n } ", b'{\n "included":{"items":[]}}'),
        (b'{"a" : 1.0 }', b'{"a" : 1.0 ,"included":{"items":[]}}'),
        # The event's, where the resource has one too.
        (b'{"included":[], "a" : 1.0}', b'{"included":{"items":[]},"a":1.0}'),
        (b'{"\\u0069ncluded":[], "a" : 1.0}', b'{"included":{"items":[]},"a":1.0}'),
        (b'{"a":{"included":1}, "b":2}', b'{"a":{"included":1}, "b":2,"included":{"items":[]}}'),
        (b'{"name":"\\u00e9"}', b'{"name":"\\u00e9","included":{"items":[]}}'),
    ],
)
def test_what_is_included_is_the_resources_last_member(delivery: Delivery, data: bytes, sent: bytes) -> None:
    assert cloudevent_body(replace(delivery, data=data)).endswith(b'"data":' + sent + b"}")


@pytest.mark.parametrize("data", [b"[1]", b"{broken", b"7", b'{"included":' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
def test_a_cloudevent_is_made_of_what_intake_would_not_take(delivery: Delivery, data: bytes) -> None:
    assert data.rstrip(b"}") in cloudevent_body(replace(delivery, data=data))


def test_what_is_included_can_be_elided(delivery: Delivery) -> None:
    elided = json.loads(cloudevent_body(delivery, elide=True))
    assert elided["data"] == json.loads(delivery.data) | {"included": {"meta": {"includes_elided": True}}}
    assert can_be_elided(delivery)


def test_without_includes_nothing_can_be_elided(delivery: Delivery) -> None:
    bare = replace(delivery, included=None)
    deleted = replace(delivery, triggered_by="order.deleted")
    assert cloudevent_body(bare, elide=True) == cloudevent_body(bare)
    assert cloudevent_body(deleted, elide=True) == cloudevent_body(deleted)
    assert not can_be_elided(bare)
    assert not can_be_elided(deleted)


def test_a_queue_gets_of_a_deleted_resource_its_type_and_id(delivery: Delivery) -> None:
    body = json.loads(cloudevent_body(replace(delivery, triggered_by="order.deleted")))
    assert body["data"] == {"type": "order", "id": "o-1"}


@pytest.mark.parametrize(
    ("store_id", "org_id", "source"),
    [("a b/c", "org-1", "/stores/a%20b%2Fc"), (None, "org-1", "/organizations/org-1"), (None, None, "/")],
)
def test_an_event_without_a_source_is_its_stores(
    delivery: Delivery, store_id: str | None, org_id: str | None, source: str
) -> None:
    body = json.loads(cloudevent_body(replace(delivery, store_id=store_id, org_id=org_id)))
    assert body["source"] == source
    assert body.get("storeid", store_id) == store_id
    assert ("storeid" in body, "orgid" in body) == (store_id is not None, org_id is not None)


def test_bytes_that_are_not_utf8_still_make_a_cloudevent(delivery: Delivery) -> None:
    body = json.loads(cloudevent_body(replace(delivery, data=b'{"name":"\xff"}', included=b'["\xff"]')))
    assert body["data"] == {"name": "\N{REPLACEMENT CHARACTER}", "included": ["\N{REPLACEMENT CHARACTER}"]}


FLAT = b'{"one_time_password_token":"t","purpose":"reset","n":10.00}'


@pytest.mark.parametrize("kind", ["one-time-password-token-request.created", "order.paid", "catalog-release.updated"])
def test_a_flat_payload_is_sent_as_it_is(delivery: Delivery, kind: str) -> None:
    flat = replace(delivery, triggered_by=kind, data=FLAT, included=None, flat=True)
    body = webhook_body(flat)
    assert b',"payload":' + FLAT + b',"resources":' in body
    assert json.loads(body)["resources"] == FLAT.decode()
    assert b',"data":' + FLAT + b"}" in cloudevent_body(flat)
    assert not can_be_elided(flat)


def test_the_flat_payload_of_a_deletion_keeps_its_members_and_is_an_object_in_both_places(delivery: Delivery) -> None:
    flat = replace(delivery, triggered_by="catalog-release.deleted", data=FLAT, included=None, flat=True)
    body = webhook_body(flat)
    assert b',"payload":' + FLAT + b',"resources":' + FLAT + b"," in body
    assert b',"data":' + FLAT + b"}" in cloudevent_body(flat)


@pytest.mark.parametrize(
    ("secret", "written"),
    [("s3cr3t", "s3cr3t"), ("", ""), ('a"b\\c', 'a"b\\c'), ("</script>", "</script>")],
)
def test_a_secret_enters_the_body_only_if_it_is_given(delivery: Delivery, secret: str, written: str) -> None:
    assert json.loads(webhook_body(delivery, secret))["configuration"] == {
        "url": "https://shop.example/hook",
        "secret_key": written,
    }
    assert json.loads(webhook_body(delivery))["configuration"] == {"url": "https://shop.example/hook"}
