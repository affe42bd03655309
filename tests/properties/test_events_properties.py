"""What holds of events whatever comes."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from config.observable_events import load_catalogue
from worker.domain.event import Event, Refusal, Scope
from worker.domain.event_parser import EventRules, parse_event, stored_event

RULES = EventRules(load_catalogue())
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128)
NAMES = st.sampled_from(["type", "data", "id", "time", "source", "included", "store_id", "org_id", "other"])


def good(event_id: str = "e", **changes: Any) -> dict[str, Any]:
    return {"type": "order.paid", "id": event_id, "data": {}} | changes


@given(st.binary(max_size=200) | TEXT.map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"type":"order.paid","data":"')
@example(b'{"":""')
def test_whatever_comes_is_an_event_or_a_refusal_in_words(raw: bytes) -> None:
    found = parse_event(raw, RULES)
    assert isinstance(found, Event) or str(found)


@given(st.dictionaries(NAMES, JSON | st.sampled_from(["order.paid", "2026-11-23T20:41:00Z"]), max_size=9))
def test_whatever_the_fields_hold_is_accepted_or_refused_by_name(event: dict[str, Any]) -> None:
    for given_event in (event, json.dumps(event).encode()):
        found = parse_event(given_event, RULES)
        if isinstance(found, Refusal):
            assert found.field.split(".")[0] in {*event, "type", "data"}
            assert found.reason
        else:
            assert isinstance(event["data"], dict)


@given(st.dictionaries(TEXT, JSON, max_size=4), st.none() | st.lists(JSON, max_size=3), st.booleans())
def test_what_is_sliced_out_means_what_came(data: dict[str, Any], included: list[Any] | None, pretty: bool) -> None:
    raw = json.dumps(good(data=data, included=included), indent=2 if pretty else None).encode()
    event = parse_event(raw, RULES)
    assert isinstance(event, Event)
    assert json.loads(event.data) == data
    assert event.data in raw
    assert (None if event.included is None else json.loads(event.included)) == included
    assert stored_event(raw, event.id, event.scope) == event


@given(st.dictionaries(TEXT, JSON, max_size=3), st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_never_lets_something_through_that_is_no_json(data: dict[str, Any], at: int, byte: int) -> None:
    """What was accepted is spliced into a body unread: a receiver must be able to read it."""
    raw = bytearray(json.dumps(good(data=data), ensure_ascii=False).encode())
    raw[at % len(raw)] = byte
    event = parse_event(bytes(raw), RULES)
    if isinstance(event, Event):
        assert isinstance(json.loads(event.data), dict)


@given(st.lists(st.tuples(st.none() | IDS, st.none() | IDS, IDS), min_size=2, max_size=6, unique=True))
def test_no_two_identities_share_a_reference(identities: list[tuple[str | None, str | None, str]]) -> None:
    events = [
        stored_event(json.dumps(good(event_id)).encode(), event_id, Scope(org, store))
        for org, store, event_id in identities
    ]
    assert len({event.ref for event in events}) == len(identities)
    assert len({event.scope for event in events}) == len({event.scope.key for event in events})
    assert all(Scope.of_key(event.scope.key) == event.scope for event in events)


@given(IDS, IDS)
def test_a_scopes_key_can_be_a_part_of_any_other_key(org: str, store: str) -> None:
    key = Scope(org, store).key
    assert key.isascii()
    assert key.count("/") == 1
    assert not set(key) & set(" :{}\n")
