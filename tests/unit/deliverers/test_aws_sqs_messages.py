from __future__ import annotations

import json
from dataclasses import replace

import pytest

from deliverers.aws_sqs.sqs_messages import (
    ATTRIBUTES,
    Message,
    TooLarge,
    attributes_size,
    fifo_token,
    group_id,
    message_of,
)
from deliverers.contract import Delivery
from deliverers.envelopes import cloudevent_body

LIMIT = 262_144


def made(delivery: Delivery, limit: int = LIMIT, is_fifo: bool = False) -> Message:
    found = message_of(delivery, limit, is_fifo)
    assert isinstance(found, Message)
    return found


def test_a_message_is_the_cloudevent_and_counts_its_attribute(delivery: Delivery) -> None:
    message = made(delivery)
    assert message.body.encode() == cloudevent_body(delivery)
    assert message.size == len(message.body.encode()) + attributes_size(ATTRIBUTES)
    traced = made(replace(delivery, trace={"traceparent": "00-1-2-01"}))
    assert traced.size - len(traced.body.encode()) - attributes_size(ATTRIBUTES) == len("traceparentString00-1-2-01")
    assert len("content-type" + "String" + "application/cloudevents+json") == attributes_size(ATTRIBUTES)
    assert message.entry(3) == {
        "Id": "3",
        "MessageBody": message.body,
        "MessageAttributes": {"content-type": {"DataType": "String", "StringValue": "application/cloudevents+json"}},
    }


def test_what_is_included_goes_at_the_first_byte_over_the_limit(delivery: Delivery) -> None:
    large = replace(delivery, included=json.dumps(["x" * 200]).encode())
    whole = made(large).size
    assert b"includes_elided" not in made(large, whole).body.encode()
    elided = made(large, whole - 1)
    assert json.loads(elided.body)["data"]["included"] == {"meta": {"includes_elided": True}}
    assert message_of(large, elided.size - 1, False) == TooLarge(elided.size, elided.size - 1, True)


def test_what_is_too_large_says_both_sizes(delivery: Delivery) -> None:
    found = message_of(replace(delivery, included=None), 100, False)
    assert isinstance(found, TooLarge)
    assert not found.elided
    assert TooLarge(1_234_567, LIMIT, False).reason == "message of 1,234,567 bytes is over the limit of 262,144 bytes"
    assert TooLarge(2, 1, True).reason.endswith(" even without what the event includes")


def test_only_a_fifo_queue_gets_groups(delivery: Delivery) -> None:
    assert "MessageGroupId" not in made(delivery).entry(0)
    entry = made(replace(delivery, epoch=2), is_fifo=True).entry(0)
    assert (entry["MessageGroupId"], entry["MessageDeduplicationId"]) == ("o-1", "job-1:2")


@pytest.mark.parametrize(
    ("data", "group"),
    [
        (b'{"id":"o-1"}', "o-1"),
        (b'{"id":"a\\u002db"}', "a-b"),
        (b'{"id":12345678901234567890123}', "12345678901234567890123"),
        (b'{"id":1.50}', "1.50"),
        (b'{"id":""}', "event-1"),
        (b'{"id":null}', "event-1"),
        (b'{"id":true}', "event-1"),
        (b'{"id":{"id":"x"}}', "event-1"),
        (b"{}", "event-1"),
        (b"[1]", "event-1"),
        (b"\xff", "event-1"),
    ],
)
def test_the_group_is_the_resources_id_else_the_events(delivery: Delivery, data: bytes, group: str) -> None:
    assert group_id(replace(delivery, data=data)) == group


@pytest.mark.parametrize("text", ["x", "a" * 128, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"])
def test_what_sqs_takes_is_kept(text: str) -> None:
    assert fifo_token(text) == text


@pytest.mark.parametrize("text", ["", "a b", "a" * 129, "Zoë", "a\n", "\ud800"])
def test_what_sqs_refuses_is_hashed(text: str) -> None:
    assert len(fifo_token(text)) == 64
    assert fifo_token(text).isalnum()
    assert fifo_token(text) != fifo_token(text + "x")


def test_characters_that_sqs_refuses_are_escaped_and_mean_the_same(delivery: Delivery) -> None:
    message = made(replace(delivery, data='{"a":"\ufffe\uffff"}'.encode(), included=None))
    assert "\ufffe" not in message.body
    assert "\uffff" not in message.body
    assert json.loads(message.body)["data"] == {"a": "\ufffe\uffff"}
