"""What an event must look like, and how a producer learns what is wrong."""

import json
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from config.observable_events import load_catalogue, observable_key
from worker.domain.event import Event, ForeignEvent, Refusal, Scope, rfc3339
from worker.domain.event_parser import EventRules, parse_event, stored_event
from worker.domain.format_version import MINOR, PAYLOAD_SINCE

RULES = EventRules(load_catalogue())
MIB = 1024 * 1024


BAD_SOURCE = "expected a URI of at most 2048 characters, without spaces (RFC 3986)"
NO_URI_REFERENCES = (
    *(
        "a\nb",
        "my shop",
        "%zz",
        "%4",
        ":x",
        "a b:c",
        "1a:b",
        "a_b:c",
        "é",
        "http://a b/",
        "http://h:port/",
        "a#b#c",
        "a[b]",
    ),
    *("http://[::1", "http://u@h@i/", "<a>", "a|b", "a\\b", "//a:b:c", "\x7f", "a\u2028"),
)


def raw(**changes: Any) -> bytes:
    """A good event with changes; a value of `...` leaves a field out."""
    event = {"type": "order.paid", "store_id": "store-1", "org_id": "org-1", "data": {"type": "order", "id": "o-1"}}
    return json.dumps({key: value for key, value in (event | changes).items() if value is not ...}).encode()


def accepted(given: Any, default_id: str | None = None) -> Event:
    found = parse_event(given, RULES, default_id)
    assert isinstance(found, Event), str(found)
    return found


def refused(given: Any, rules: EventRules = RULES) -> Refusal:
    found = parse_event(given, rules)
    assert isinstance(found, Refusal), "it was accepted"
    return found


def test_a_good_event_is_sliced_and_kept_as_it_came() -> None:
    given = raw(id="e-1", time="2026-11-23T20:41:00Z", source="https://shop.example", included={"items": [1]})
    event = accepted(given)
    assert (event.id, event.type, event.scope) == ("e-1", "order.paid", Scope("org-1", "store-1"))
    assert (event.time, event.source) == ("2026-11-23T20:41:00Z", "https://shop.example")
    assert event.raw == given
    assert json.loads(event.data) == {"type": "order", "id": "o-1"}
    assert event.included == b'{"items": [1]}'
    assert stored_event(given, "e-1", event.scope) == event


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (b"", "is not JSON"),
        (b"order.paid", "is not JSON"),
        (b'{"type":"order.paid","data":{}', "is not JSON"),
        (b'{"type":"order.paid","data":{}} {}', "is not JSON"),
        (b'{"type":"order.paid","data":{"a":tru}}', "is not JSON"),
        (b'{"type":"order.paid","data":{"a":NaN}}', "is not JSON"),
        (b'{"type":"order.paid","data":{"a":01}}', "is not JSON"),
        (b'{"type":"order.paid","data":{"a":"\\q"}}', "is not JSON"),
        (b'{"type":"order.paid","data":{"a":"line\nbreak"}}', "is not JSON"),
        (b'\xef\xbb\xbf{"type":"order.paid","data":{}}', "is not JSON"),
        (b'{"type":"order.paid","data":{"a":"\xff"}}', "is not UTF-8 (byte 34)"),
        ('{"type":"order.paid","data":{}}'.encode("utf-16"), "is not UTF-8 (byte 0)"),
        (b"[]", "expected an object, got a list"),
        (b'"order.paid"', "expected an object, got a string"),
        (b"null", "expected an object, got null"),
        (b"5", "expected an object, got a number"),
        (b'{"type":"order.paid","data":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "is nested too deeply"),
        (b'{"type":"order.paid","data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "is nested too deeply"),
        (b"[" * 1_000_000, "is nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused_as_a_whole(given: bytes, reason: str) -> None:
    refusal = refused(given)
    assert refusal.field == ""
    assert refusal.reason.startswith(reason)
    assert str(refusal) == refusal.reason


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"type": ...}, "type", "is required"),
        ({"data": ...}, "data", "is required: the affected resource; or payload, an object that is sent as it is"),
        ({"type": None}, "type", "expected a string, got null"),
        ({"type": 5}, "type", "expected a string, got a number"),
        ({"type": ["order.paid"]}, "type", "expected a string, got a list"),
        ({"data": None}, "data", "expected an object: the affected resource"),
        ({"data": []}, "data", "expected an object: the affected resource"),
        ({"data": "text"}, "data", "expected an object: the affected resource"),
        ({"data": 5}, "data", "expected an object: the affected resource"),
        ({"included": "text"}, "included", "expected an object or a list of resources"),
        ({"included": 5}, "included", "expected an object or a list of resources"),
        ({"included": True}, "included", "expected an object or a list of resources"),
        ({"id": 5}, "id", "expected a string, got a number"),
        ({"id": ""}, "id", "is empty; leave it out, or give it a value"),
        ({"store_id": ""}, "store_id", "is empty; leave it out, or give it a value"),
        ({"org_id": {}}, "org_id", "expected a string, got an object"),
        ({"source": "x" * 2049}, "source", BAD_SOURCE),
        *(({"source": each}, "source", BAD_SOURCE) for each in NO_URI_REFERENCES),
        ({"time": 5}, "time", "expected a string, got a number"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_what_was_expected(
    changes: dict[str, Any], field: str, reason: str
) -> None:
    refusal = refused(raw(**changes))
    assert (refusal.field, refusal.reason) == (field, reason)
    assert str(refusal) == f"{field}: {reason}"


@pytest.mark.parametrize(
    "source",
    [
        "https://shop.example/a?b=c#d",
        "//shop.example:8080",
        "/stores/1",
        "shops/eu-west:1",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "mailto:a@shop.example",
        "my%20shop",
        "http://[2001:db8::1]:80/",
        "file:///a",
        "#part",
        "?a:b",
        "./a:b",
        "1-555-123-4567",
    ],
)
def test_a_source_is_a_uri_reference(source: str) -> None:
    assert accepted(raw(source=source)).source == source


@pytest.mark.parametrize("time", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5z", "2017-01-01 01:59:60+0200"])
def test_a_leap_second_is_accepted(time: str) -> None:
    assert accepted(raw(time=time)).time == time


@pytest.mark.parametrize("time", ["2016-12-31T22:59:60Z", "2016-12-31T23:59:61Z", "2016-12-31T23:59:60+02:00"])
def test_a_second_60_elsewhere_is_refused(time: str) -> None:
    assert refused(raw(time=time)).field == "time"


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2026-11-23", "2026-11-23T20:41:00", "2026-13-23T20:41:00Z", "1795466460"]
)
def test_a_time_without_date_or_offset_is_refused_with_an_example(time: str) -> None:
    refusal = refused(raw(time=time))
    assert refusal.field == "time"
    assert "such as 2026-11-23T20:41:00Z" in refusal.reason


@pytest.mark.parametrize("time", ["2026-11-23T20:41:00Z", "2026-11-23T20:41:00.123456+02:00", "2026-11-23t20:41:00z"])
def test_a_time_as_rfc_3339_has_it_is_kept_as_it_came(time: str) -> None:
    assert accepted(raw(time=time)).time == time


@pytest.mark.parametrize("field", ["id", "store_id", "org_id"])
class TestIds:
    def test_128_characters_are_accepted_and_129_are_not(self, field: str) -> None:
        accepted(raw(**{field: "x" * 128}))
        # Characters, not bytes.
        accepted(raw(**{field: "é" * 128}))
        refusal = refused(raw(**{field: "x" * 129}))
        assert (refusal.field, refusal.reason) == (field, "has 129 characters, and at most 128 are accepted")

    @pytest.mark.parametrize("bad", ["\x00", "a\nb", "a\rb", "\t", "\x1b[31m", "\x7f", "\x80", "\x9f"])
    def test_control_characters_are_refused(self, field: str, bad: str) -> None:
        refusal = refused(raw(**{field: bad}))
        assert (refusal.field, refusal.reason) == (field, "has control characters")

    @pytest.mark.parametrize("good", [" ", "a b", "Zoë", "🚲", "a/b:c", "../..", "{0}:x", "\xa0"])
    def test_any_other_text_is_an_id(self, field: str, good: str) -> None:
        event = accepted(raw(**{field: good}))
        assert good in (event.id, event.scope.store_id, event.scope.org_id)


def test_a_lone_surrogate_is_no_text() -> None:
    assert refused(b'{"type":"order.paid","id":"\\ud800","data":{}}').reason.startswith("is not JSON")
    assert refused({"type": "order.paid", "data": {"x": "\ud800"}}).reason.startswith("cannot be written as JSON")


@pytest.mark.parametrize(
    ("key", "near"), [("order.payed", "order.paid"), ("orders.paid", "order.paid"), ("ORDER.PAID", "order.paid")]
)
def test_an_unknown_key_is_refused_with_the_nearest_known_ones(key: str, near: str) -> None:
    refusal = refused(raw(type=key))
    assert refusal.field == "type"
    assert key in refusal.reason
    assert near in refusal.reason


@pytest.mark.parametrize("key", ["", "x" * 100_000, "\x00", "order", "order.", ".paid", "order.paid "])
def test_any_other_key_is_refused_in_few_words(key: str) -> None:
    refusal = refused(raw(type=key))
    assert refusal.field == "type"
    assert len(refusal.reason) < 500


def test_a_key_that_does_not_exist_at_the_events_level_is_refused() -> None:
    assert "level" in refused(raw(store_id=...)).reason
    # Neither is named: the one store of a deployment that has only one.
    assert accepted(raw(store_id=..., org_id=...)).scope == Scope(None, None)


def test_a_deployments_own_keys_are_known() -> None:
    rules = EventRules(load_catalogue([observable_key("warranty.registered")]))
    assert isinstance(parse_event(raw(type="warranty.registered"), rules), Event)
    assert refused(raw(type="warranty.registered")).field == "type"


@pytest.mark.parametrize("excess", [0, 1])
def test_the_cap_is_one_mebibyte_to_the_byte(excess: int) -> None:
    small = raw(data={"x": ""})
    given = raw(data={"x": "x" * (MIB - len(small) + excess)})
    assert len(given) == MIB + excess
    if excess:
        assert refused(given).reason == "the event has 1,048,577 bytes, and at most 1,048,576 are accepted"
    else:
        assert accepted(given).raw == given


def test_a_mapping_is_measured_as_it_is_written() -> None:
    rules = EventRules(load_catalogue(), max_bytes=100)
    assert "at most 100 are accepted" in refused({"type": "order.paid", "data": {"x": "x" * 100}}, rules).reason


@pytest.mark.parametrize(
    "data",
    [
        b'{"total":10.00}',
        b'{"n":123456789012345678901234567890}',
        b'{"n":1e400,"m":-0,"k":1E+2}',
        b'{"b":1,"a":2,"b":3}',
        b'{ "spaces" : [ 1 , 2 ] }',
        b'{"escaped":"\\u00e9\\/","plain":"\xc3\xa9/"}',
        b'{"looks like":"{\\"type\\":\\"x\\"}]]]}}}"}',
        b"{}",
    ],
)
def test_data_travels_to_the_byte(data: bytes) -> None:
    given = b'{"data": ' + data + b' , "type":"order.paid"}'
    event = accepted(given)
    assert event.data == data
    assert stored_event(given, event.id, event.scope).data == data


@pytest.mark.parametrize(
    ("named", "scope"),
    [
        ({}, Scope("org-1", "store-1")),
        ({"store_id": "store-1"}, Scope("org-1", "store-1")),
        ({"org_id": "org-1"}, Scope("org-1", "store-1")),
        ({"store_id": "store-1", "org_id": "org-1"}, Scope("org-1", "store-1")),
        ({"store_id": None}, Scope(None, "store-1")),
        ({}, Scope()),
    ],
)
def test_an_event_is_of_its_senders_scope_whether_it_says_so_or_not(named: dict[str, Any], scope: Scope) -> None:
    given = json.dumps({"type": "order.paid", "data": {}} | named).encode()
    event = parse_event(given, RULES, scope=scope)
    assert isinstance(event, Event)
    assert (event.scope, event.raw) == (scope, given)


@pytest.mark.parametrize(
    ("named", "scope", "field"),
    [
        ({"store_id": "store-2"}, Scope("org-1", "store-1"), "store_id"),
        ({"store_id": "store-1", "org_id": "org-2"}, Scope("org-1", "store-1"), "org_id"),
        ({"store_id": "store-1"}, Scope("org-1"), "store_id"),
        ({"org_id": "org-1"}, Scope(None, "store-1"), "org_id"),
        ({"store_id": "store-1"}, Scope(), "store_id"),
    ],
)
def test_an_event_that_names_another_scope_than_its_senders_is_foreign(
    named: dict[str, Any], scope: Scope, field: str
) -> None:
    refusal = parse_event(json.dumps({"type": "order.paid", "data": {}} | named).encode(), RULES, scope=scope)
    assert isinstance(refusal, ForeignEvent)
    assert refusal.field == field


def test_a_senders_scope_decides_at_which_level_a_key_must_exist() -> None:
    given = b'{"type":"order.paid","data":{}}'
    assert isinstance(parse_event(given, RULES, scope=Scope("org-1", "store-1")), Event)
    refusal = parse_event(given, RULES, scope=Scope("org-1"))
    assert isinstance(refusal, Refusal)
    assert "store level" in refusal.reason


@pytest.mark.parametrize(
    ("refusal", "pointer"),
    [
        (Refusal("", "r"), ""),
        (Refusal("observes.0", "r"), "/observes/0"),
        (Refusal("configuration.a.b/c~d", "r", ("configuration", "a.b/c~d")), "/configuration/a.b~1c~0d"),
    ],
)
def test_a_refused_field_has_a_json_pointer(refusal: Refusal, pointer: str) -> None:
    assert refusal.pointer == pointer


@pytest.mark.parametrize("included", [b'{"items":[{"n":1.50}]}', b"[ ]", b"[1]", b"{}"])
def test_included_travels_as_it_came(included: bytes) -> None:
    given = b'{"type":"order.paid","data":{},"included":  ' + included + b" }"
    assert accepted(given).included == included
    assert stored_event(given, "e", Scope()).included == included


def test_included_that_is_null_is_not_there() -> None:
    assert accepted(raw(included=None)).included is None
    assert accepted(raw()).included is None


def test_what_is_unknown_in_an_event_is_let_pass() -> None:
    event = accepted(raw(meta={"anything": 1}))
    assert b"anything" in event.raw
    assert b"anything" not in event.data


def test_an_event_without_an_id_gets_the_one_at_hand_or_a_new_one() -> None:
    assert accepted(raw(), "default").id == "default"
    assert accepted(raw(id="own"), "default").id == "own"
    first, second = accepted(raw()), accepted(raw())
    assert UUID(first.id) != UUID(second.id)


def test_a_mappings_dates_uuids_and_decimals_become_strings() -> None:
    event = accepted(
        {
            "type": "order.paid",
            "data": {
                "at": datetime(2026, 11, 23, 20, 41, tzinfo=UTC),
                "id": UUID(int=5),
                "total": Decimal("10.00"),
                "big": 10**30,
                "tuple": (1, 2),
            },
        }
    )
    assert json.loads(event.data) == {
        "at": "2026-11-23T20:41:00Z",
        "id": "00000000-0000-0000-0000-000000000005",
        "total": "10.00",
        "big": 10**30,
        "tuple": [1, 2],
    }


@pytest.mark.parametrize("kind", [dict, OrderedDict, MappingProxyType])
def test_any_mapping_is_an_event(kind: Any) -> None:
    assert accepted(kind({"type": "order.paid", "data": {"n": 1}})).data == b'{"n":1}'


def circular() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["again"] = found
    return found


@pytest.mark.parametrize("data", [{"x": object()}, {(1, 2): 3}, circular(), {"x": {"y": print}}])
def test_what_cannot_be_json_is_refused(data: Any) -> None:
    assert refused({"type": "order.paid", "data": data}).reason.startswith("cannot be written as JSON")


@pytest.mark.parametrize(
    ("given", "name"), [("text", "a string"), (None, "null"), ([], "a list"), (5, "a number"), ([{}], "a list")]
)
def test_what_is_neither_bytes_nor_a_mapping_is_refused(given: Any, name: str) -> None:
    assert refused(given).reason == f"expected a JSON object, got {name}"


def test_an_identity_is_organisation_store_and_id() -> None:
    def ref(org: Any, store: Any, event_id: str) -> str:
        return accepted(raw(org_id=org, store_id=store, id=event_id, type="order.paid")).ref

    assert ref("o", "s", "e") == ref("o", "s", "e")
    others = {ref("o", "s", "e"), ref("o", "t", "e"), ref("p", "s", "e"), ref("o", "s", "f"), ref(..., "s", "e")}
    others |= {ref("a/b", "c", "e"), ref("a", "b/c", "e"), ref("a%2Fb", "c", "e"), ref("a", "b", "c/e")}
    assert len(others) == 9


def test_a_digest_distinguishes_content_and_nothing_else() -> None:
    same = [raw(), raw(id="e"), raw(store_id="other")]
    assert len({accepted(each).digest for each in same}) == 1
    different = [raw(), raw(data={}), raw(included={}), raw(included=[]), raw(type="order.created")]
    assert len({accepted(each).digest for each in different}) == 5


def test_times_of_the_ledger_are_written_as_rfc_3339() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_795_466_460_123) == "2026-11-23T20:41:00.123Z"


def test_a_number_that_json_does_not_have_is_named_by_a_short_place() -> None:
    deep: dict[str, Any] = {"n": float("inf")}
    for _ in range(200):
        deep = {"name" * 100: deep}
    refusal = refused({"type": "order.paid", "data": deep})
    assert "finite" in refusal.reason
    assert len(str(refusal)) < 1_000


FLAT = b'{ "one_time_password_token":"t", "purpose":"reset", "n":10.00 }'


def flat(**changes: Any) -> bytes:
    named = {"type": "one-time-password-token-request.created", "id": "e-1"} | changes
    return json.dumps(named).encode()[:-1] + b', "payload": ' + FLAT + b"}"


def test_an_event_may_carry_a_flat_payload_which_travels_to_the_byte() -> None:
    event = accepted(flat())
    assert (event.flat, event.data, event.included) == (True, FLAT, None)
    stored = stored_event(event.raw, event.id, event.scope)
    assert (stored.flat, stored.data, stored.minor) == (True, FLAT, PAYLOAD_SINCE)
    # Every key takes either form.
    assert accepted(flat(type="order.paid")).flat
    assert not accepted(raw(type="one-time-password-token-request.created")).flat


@pytest.mark.parametrize("absent", [{"data": None}, {"included": None}, {"data": None, "included": None}])
def test_a_null_beside_a_payload_counts_as_absent(absent: dict[str, Any]) -> None:
    assert accepted(flat(**absent)).data == FLAT
    assert not accepted({"type": "order.paid", "data": {}, "payload": None}).flat


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": {}}, "is beside data: an event has either data (with included) or payload"),
        ({"data": "x"}, "is beside data: an event has either data (with included) or payload"),
        ({"included": []}, "is beside included: an event has either data (with included) or payload"),
    ],
)
def test_an_event_with_a_resource_and_a_payload_is_refused(changes: dict[str, Any], reason: str) -> None:
    refusal = refused(flat(**changes))
    assert (refusal.field, refusal.reason) == ("payload", reason)


@pytest.mark.parametrize("payload", ["x", 5, [], [{}], True, ""])
def test_a_payload_is_an_object(payload: Any) -> None:
    refusal = refused({"type": "order.paid", "payload": payload})
    assert (refusal.field, refusal.reason) == ("payload", "expected an object, which is sent as it is")


def test_a_payload_and_a_resource_of_the_same_bytes_are_different_events() -> None:
    one = accepted({"type": "order.paid", "data": {"a": 1}})
    assert one.digest != accepted({"type": "order.paid", "payload": {"a": 1}}).digest


def test_a_payload_needs_a_build_that_knows_it() -> None:
    assert accepted(flat()).minor == PAYLOAD_SINCE <= MINOR
    assert accepted(flat(edw_minor=-1)).minor == PAYLOAD_SINCE
    assert accepted(raw()).minor == 0


@pytest.mark.parametrize("field", ["id", "store_id", "org_id"])
@pytest.mark.parametrize("segment", [".", ".."])
def test_an_id_that_clients_remove_from_a_path_is_refused(field: str, segment: str) -> None:
    refusal = refused({"type": "order.paid", "data": {}, field: segment})
    assert (refusal.field, refusal.reason.split(",")[0]) == (field, f'is "{segment}"')


@pytest.mark.parametrize("segment", ["...", "%2e", "%2e%2e", ". ", "./..", ".a", "a..", "\u2024"])
def test_other_ids_of_dots_have_links_that_lead_to_them(segment: str) -> None:
    assert accepted({"type": "order.paid", "data": {}, "id": segment}).id == segment
