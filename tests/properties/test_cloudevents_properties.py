"""What holds of CloudEvents whatever comes."""

import json
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.observable_events import load_catalogue
from worker.domain.cloudevents import event_of_binary, event_of_structured, is_cloudevent, split_batch
from worker.domain.event import Event, Refusal
from worker.domain.event_parser import DOT_SEGMENTS, EventRules, parse_event

RULES = EventRules(load_catalogue())
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(
    lambda text: text not in DOT_SEGMENTS
)
NAMES = st.sampled_from(
    ["specversion", "id", "source", "type", "time", "datacontenttype", "data", "data_base64", "storeid", "included"]
)


#: URI-references.
SOURCES = st.lists(st.sampled_from(["a", "/", "?", "b:", "%20", "%C3%A9", "-", "@", "&", "="])).map(
    lambda parts: "/s/" + "".join(parts)
)


@given(st.dictionaries(TEXT, JSON, max_size=4), PRINTABLE, SOURCES, st.sampled_from([None, 1]), st.booleans())
def test_every_mode_carries_the_same_event(
    data: dict[str, Any], event_id: str, source: str, indent: int | None, ascii_only: bool
) -> None:
    attributes = {"specversion": "1.0", "id": event_id, "source": source, "type": "order.paid", "storeid": "s"}
    body = json.dumps(data, indent=indent, ensure_ascii=ascii_only).encode()
    head = json.dumps(attributes, ensure_ascii=ascii_only).encode()[:-1]
    forms = [
        event_of_structured(head + b', "data":' + body + b"}"),
        event_of_structured(head + b', "data_base64":"' + b64encode(body) + b'"}'),
        event_of_binary(attributes, body),
    ]
    for form in forms:
        assert isinstance(form, bytes)
        event = parse_event(form, RULES)
        assert isinstance(event, Event)
        assert (event.id, event.source, event.scope.store_id, event.data) == (event_id, source, "s", body)


@given(st.dictionaries(NAMES, JSON | st.sampled_from(["1.0", "order.paid", "application/json"]), max_size=10))
def test_whatever_comes_is_reported_in_json_or_refused_by_a_name_that_it_has_or_lacks(event: dict[str, Any]) -> None:
    found = event_of_structured(json.dumps(event).encode())
    if isinstance(found, Refusal):
        assert found.field in {*event, "specversion", "id", "source", "type"}
        assert found.reason
    else:
        assert json.loads(found).get("data", ...) == event.get("data", ...) or "data_base64" in event


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_bytes_come_nothing_is_raised(raw: bytes) -> None:
    assert is_cloudevent(raw) in (True, False)
    attributes = {"specversion": "1.0", "id": "e", "source": "s", "type": "order.paid"}
    for found in (event_of_structured(raw), event_of_binary(attributes, raw)):
        assert isinstance(found, bytes | Refusal)


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 2]))
def test_a_batch_has_the_elements_that_it_had(elements: list[Any], indent: int | None) -> None:
    raw = json.dumps(elements, indent=indent).encode()
    found = split_batch(raw, 5)
    assert isinstance(found, list)
    assert [json.loads(each) for each in found] == elements
    assert all(each in raw for each in found)
