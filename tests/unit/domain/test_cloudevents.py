"""CloudEvents as our own events."""

import base64
import json
from datetime import datetime
from typing import Any

import pytest

from config.observable_events import load_catalogue
from worker.domain.cloudevents import (
    attributes_of_headers,
    attributes_of_properties,
    begins_as_wrapped_batch,
    event_of_binary,
    event_of_structured,
    is_cloudevent,
    split_batch,
    split_wrapped_batch,
)
from worker.domain.event import Event, Refusal, Scope
from worker.domain.event_parser import EventRules, parse_event

RULES = EventRules(load_catalogue())
DATA = b'{"type":"order","total":10.00,"n":123456789012345678901234567890}'
ATTRIBUTES = {"specversion": "1.0", "id": "e-1", "source": "https://shop.example", "type": "order.paid"}


def cloudevent(data: bytes = DATA, **changes: Any) -> bytes:
    """A good one with changes; a value of `...` leaves an attribute out."""
    attributes = {name: value for name, value in (ATTRIBUTES | changes).items() if value is not ...}
    return json.dumps(attributes).encode()[:-1] + (b', "data": ' + data if data else b"") + b" }"


def taken(raw: bytes | Refusal) -> Event:
    assert isinstance(raw, bytes), str(raw)
    event = parse_event(raw, RULES)
    assert isinstance(event, Event), str(event)
    return event


def refused(raw: bytes | Refusal) -> Refusal:
    assert isinstance(raw, Refusal), f"it was taken: {raw!r}"
    return raw


def test_a_structured_event_becomes_ours_with_its_data_byte_for_byte() -> None:
    raw = cloudevent(
        time="2026-11-23T20:41:00Z",
        storeid="store-1",
        orgid="org-1",
        subject="o-1",
        dataschema="https://schema.example",
        comexample=5,
        datacontenttype="application/vnd.shop+json; charset=utf-8",
        included={"items": [1]},
    )
    event = taken(event_of_structured(raw))
    assert (event.id, event.type, event.scope) == ("e-1", "order.paid", Scope("org-1", "store-1"))
    assert (event.time, event.source) == ("2026-11-23T20:41:00Z", "https://shop.example")
    assert event.data == DATA
    assert event.included == b'{"items": [1]}'


def test_an_attribute_that_is_null_is_not_there() -> None:
    event = taken(event_of_structured(cloudevent(time=None, storeid=None, datacontenttype=None, data_base64=None)))
    assert (event.time, event.scope) == (None, Scope())


def test_data_in_base64_is_decoded_and_kept_as_it_came() -> None:
    raw = cloudevent(b"", data_base64=base64.b64encode(DATA).decode())
    assert taken(event_of_structured(raw)).data == DATA


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (cloudevent(specversion="0.3"), "specversion", 'expected "1.0", got "0.3"'),
        (cloudevent(specversion=...), "specversion", "got nothing"),
        (cloudevent(specversion=1.0), "specversion", "expected a string"),
        (cloudevent(id=...), "id", "is required"),
        (cloudevent(id=None), "id", "is required"),
        (cloudevent(id=""), "id", "is empty"),
        (cloudevent(id=5), "id", "expected a string"),
        (cloudevent(source=...), "source", "is required"),
        (cloudevent(type=...), "type", "is required"),
        (cloudevent(storeid=7), "storeid", "expected a string"),
        (cloudevent(store_id="store-1"), "store_id", 'expected "storeid"'),
        (cloudevent(datacontenttype="text/xml"), "datacontenttype", '+json), got "text/xml"'),
        (cloudevent(datacontenttype="json"), "datacontenttype", "expected JSON"),
        (cloudevent(data_base64="e30="), "data_base64", "not both"),
        (cloudevent(b"", data_base64="%%"), "data_base64", "Base64"),
        (cloudevent(b"", data_base64="ä"), "data_base64", "Base64"),
        (cloudevent(b"", data_base64=5), "data_base64", "Base64"),
        (cloudevent(b"", data_base64=""), "data_base64", "Base64"),
        (cloudevent(b"", data_base64=base64.b64encode(b"<xml/>").decode()), "data_base64", "is not JSON"),
        (b"[]", "", "expected a JSON object"),
        (b"{", "", "is not JSON"),
        (b'{"z":' + b"[" * 5000 + b"]" * 5000 + b"}", "", "nested too deeply"),
    ],
)
def test_what_is_not_a_cloudevent_that_can_be_taken_is_refused_by_name(raw: bytes, field: str, reason: str) -> None:
    refusal = refused(event_of_structured(raw))
    assert refusal.field == field
    assert reason in refusal.reason


def test_an_event_without_data_is_refused_as_any_other() -> None:
    ours = event_of_structured(cloudevent(b""))
    assert isinstance(ours, bytes)
    found = parse_event(ours, RULES)
    assert isinstance(found, Refusal)
    assert found.field == "data"


@pytest.mark.parametrize("smuggled", [b'{}, "type": "product.deleted"', b'{}} {"data": {}', b"{} {}"])
def test_data_that_stood_by_itself_adds_nothing_to_the_event(smuggled: bytes) -> None:
    in_base64 = cloudevent(b"", data_base64=base64.b64encode(smuggled).decode())
    assert refused(event_of_structured(in_base64)).field == "data_base64"
    assert refused(event_of_binary(ATTRIBUTES, smuggled)).field == "data"


def test_a_binary_event_has_its_body_as_data() -> None:
    attributes = ATTRIBUTES | {"storeid": "store-1", "subject": "o-1", "datacontenttype": "application/json"}
    event = taken(event_of_binary(attributes, b" \n" + DATA))
    assert (event.id, event.scope, event.data) == ("e-1", Scope(None, "store-1"), DATA)


@pytest.mark.parametrize(
    ("changes", "body", "field"),
    [
        ({"id": ""}, DATA, "id"),
        ({"specversion": "2.0"}, DATA, "specversion"),
        ({"datacontenttype": "application/octet-stream"}, b"\x00", "datacontenttype"),
        ({"id": "\udcff"}, DATA, "id"),
        ({}, b"<xml/>", "data"),
    ],
)
def test_a_bad_binary_event_is_refused(changes: dict[str, str], body: bytes, field: str) -> None:
    assert refused(event_of_binary(ATTRIBUTES | changes, body)).field == field


def test_attributes_of_headers_are_unquoted_and_decoded_once() -> None:
    headers = [
        ("Content-Type", "application/json"),
        ("Ce-Id", "Euro%20%e2%82%AC%2520"),
        ("CE-SOURCE", r'"a \"b\" %22"'),
        ("ce-type", "order.paid"),
        ("X-Other", "x"),
    ]
    assert attributes_of_headers(headers) == {
        "datacontenttype": "application/json",
        "id": "Euro €%20",
        "source": 'a "b" "',
        "type": "order.paid",
    }


def test_an_overlong_encoding_in_a_header_is_refused() -> None:
    found = attributes_of_headers([("ce-id", "%C0%A0")])
    assert isinstance(found, Refusal)
    assert found.field == "ce-id"


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
def test_attributes_of_amqp_properties_may_be_native_values(prefix: str) -> None:
    values = {"specversion": "1.0", "id": 7, "time": datetime(2026, 11, 23, 20, 41), "flag": True, "source": b"/s"}  # noqa: DTZ001  (py-amqp's)
    headers = {prefix + name: value for name, value in values.items()} | {"x-other": "x"}
    assert attributes_of_properties(headers, "application/json") == {
        "specversion": "1.0",
        "id": "7",
        "time": "2026-11-23T20:41:00+00:00",
        "flag": "true",
        "source": "/s",
        "datacontenttype": "application/json",
    }
    assert attributes_of_properties({prefix + "specversion": "1.0"}, None) == {"specversion": "1.0"}


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ({}, "application/json"),
        ({"cloudEvents:id": "e"}, "application/json"),
        # Structured mode may have the same headers (AMQP 3.2.3).
        ({"cloudEvents:specversion": "1.0"}, "application/cloudevents+json; charset=utf-8"),
        ({"cloudEvents:specversion": "1.0"}, "application/cloudevents-batch+json"),
    ],
)
def test_a_message_without_them_is_not_in_binary_mode(headers: dict[str, object], content_type: str) -> None:
    assert attributes_of_properties(headers, content_type) is None


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (cloudevent(), True),
        (cloudevent(specversion="0.3"), True),
        (cloudevent(specversion=None), False),
        (b'{"type":"order.paid","data":{"specversion":"1.0"}}', False),
        (b'{"type":"order.paid","data":{}}', False),
        (b'["specversion"]', False),
        (b'"specversion"', False),
        (b'{"specversion":', False),
        (b'{"specversion":' + b"[" * 5000, False),
    ],
)
def test_it_is_a_cloudevent_where_it_says_so(raw: bytes, answer: bool) -> None:
    assert is_cloudevent(raw) is answer


def test_a_batch_is_split_into_what_came() -> None:
    assert split_batch(b'[ {"a": 1.00} ,2, []\n]', 3) == [b'{"a": 1.00}', b"2", b"[]"]
    assert split_batch(b"[]", 3) == []


def test_a_batch_of_too_many_is_refused_with_the_number_that_is_taken() -> None:
    assert split_batch(b"[1,2,3,4]", 3) == Refusal("", "has more than 3 events, the most that are accepted at once")


@pytest.mark.parametrize("after", [b"]", b"", b"tru", b"\xff", b"[" * 5000, b'"' + b'\\"' * 5000])
def test_a_batch_of_too_many_is_not_read_to_its_end(after: bytes) -> None:
    # What follows the first element over the limit would be refused for another reason, if it were read.
    refusal = split_batch(b"[[],[],[],[]," + after, 3)
    assert refusal == Refusal("", "has more than 3 events, the most that are accepted at once")


def test_a_batch_may_begin_with_blanks() -> None:
    assert split_batch(b" \t\r\n[1]", 3) == [b"1"]
    refusal = split_batch(b" \t\r\n[1,2,3,4]", 3)
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("has more than 3 events")


@pytest.mark.parametrize("raw", [b"{}", b"[", b"", b"[{}] x", b"[" * 5000 + b"]" * 5000])
def test_what_is_no_list_is_no_batch(raw: bytes) -> None:
    assert isinstance(split_batch(raw, 3), Refusal)


@pytest.mark.parametrize("raw", [b'{"data":{}}', b'{"more":1,"data":[1]}', b'{"datA":[', b"[1]", b""])
def test_what_begins_as_something_else_is_seen_at_its_first_bytes(raw: bytes) -> None:
    assert not begins_as_wrapped_batch(raw)


@pytest.mark.parametrize("raw", [b'{"data":[{"a": 1.00},2,[]]}', b' {"data" :\n[ {"a": 1.00} ,2, []],"more":[1]} '])
def test_a_wrapped_batch_is_split_into_what_came(raw: bytes) -> None:
    assert begins_as_wrapped_batch(raw)
    assert split_wrapped_batch(raw, 3) == [b'{"a": 1.00}', b"2", b"[]"]
    assert split_wrapped_batch(raw, 4) == [b'{"a": 1.00}', b"2", b"[]"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"data":{}}',
        b'{"data":[1,2,3,4]}',
        b'{"data":[1],"type":"order.paid"}',
        b'{"data":[1],"data":{}}',
        b'{"data":[1]',
        b'{"data":[1]} x',
        b'{"data":[1,tru]}',
        b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"[1]",
        b"",
    ],
)
def test_what_is_no_wrapped_batch_is_left_to_those_who_say_why(raw: bytes) -> None:
    assert split_wrapped_batch(raw, 3) is None


@pytest.mark.parametrize("flag", [True, "true"])
def test_a_cloudevents_data_may_be_a_flat_payload(flag: object) -> None:
    event = taken(event_of_structured(cloudevent(edwpayload=flag)))
    assert (event.flat, event.data) == (True, DATA)
    encoded = {"data_base64": base64.b64encode(DATA).decode()}
    assert taken(event_of_structured(cloudevent(b"", edwpayload=flag, **encoded))).data == DATA


@pytest.mark.parametrize("flag", [False, "false", None, ...])
def test_without_that_attribute_its_data_is_a_resource(flag: object) -> None:
    assert not taken(event_of_structured(cloudevent(edwpayload=flag))).flat


def test_in_binary_mode_the_transport_says_so() -> None:
    headers = [*((f"ce-{name}", value) for name, value in ATTRIBUTES.items()), ("CE-EdwPayload", "true")]
    attributes = attributes_of_headers(headers)
    assert isinstance(attributes, dict)
    assert taken(event_of_binary(attributes, DATA)).flat
    properties = attributes_of_properties(
        {f"cloudEvents:{name}": value for name, value in (ATTRIBUTES | {"edwpayload": True}).items()},
        "application/json",
    )
    assert properties is not None
    assert taken(event_of_binary(properties, DATA)).flat


@pytest.mark.parametrize("flag", [1, "yes", "TRUE", [], {}, ""])
def test_any_other_value_of_it_is_refused(flag: object) -> None:
    refusal = refused(event_of_structured(cloudevent(edwpayload=flag)))
    assert (refusal.field, refusal.reason.partition(":")[0]) == ("edwpayload", "expected true or false")


def test_a_payload_beside_the_attributes_is_refused_with_what_to_do() -> None:
    refusal = refused(event_of_structured(cloudevent(payload={"a": 1})))
    assert (refusal.field, refusal.reason) == (
        "payload",
        "is not an attribute of a CloudEvent; send it as data, with edwpayload: true",
    )
