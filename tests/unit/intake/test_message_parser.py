"""What a message of the plain queue may be."""

import json
from typing import Any
from uuid import UUID, uuid5

import pytest

from config.observable_events import load_catalogue
from tests.turns import counted_turns
from worker.domain.event import Event, Refusal, Scope
from worker.domain.event_parser import EventRules
from worker.event_loop.pacing import STEP_PARTS
from worker.intake import message_parser
from worker.intake.message_parser import (
    BATCH_MAX_EVENTS,
    MESSAGE_MAX_BYTES,
    event_id,
    is_batch,
    parse_message,
    parse_message_paced,
    split,
)

RULES = EventRules(load_catalogue())


def plain(**changes: Any) -> str:
    return json.dumps({"type": "order.paid", "store_id": "s", "data": {"n": 1}} | changes)


CLOUD = json.dumps(
    {"specversion": "1.0", "id": "c", "source": "/s", "type": "order.paid", "storeid": "s", "data": {"n": 2}}
)


def one(message: str | bytes, message_id: str | None = None) -> Event:
    ((found, _),) = parse_message(message if isinstance(message, bytes) else message.encode(), RULES, message_id)
    assert isinstance(found, Event), str(found)
    return found


def refused(message: str | bytes, rules: EventRules = RULES) -> Refusal:
    raw = message if isinstance(message, bytes) else message.encode()
    ((found, given),) = parse_message(raw, rules)
    assert isinstance(found, Refusal)
    assert given == raw
    return found


def test_a_plain_event_is_kept_as_it_came() -> None:
    raw = plain(id="e").replace("1", "1.00").encode()
    event = one(raw)
    assert (event.id, event.scope, event.data, event.raw) == ("e", Scope(None, "s"), b'{"n": 1.00}', raw)


def test_a_cloudevent_is_known_by_its_specversion() -> None:
    event = one(CLOUD)
    assert (event.id, event.scope, event.data) == ("c", Scope(None, "s"), b'{"n": 2}')


@pytest.mark.parametrize("space", ["", " \r\n\t"])
def test_an_array_may_mix_both_and_bad_ones_take_no_neighbour_with_them(space: str) -> None:
    message = f"{space}[{plain(id='p')} , 5, {CLOUD},{{}}]".encode()
    assert is_batch(message)
    events, refusals = split(parse_message(message, RULES))
    assert [event.id for event in events] == ["p", "c"]
    assert [(refusal.field, given) for refusal, given in refusals] == [("", b"5"), ("type", b"{}")]


def test_an_empty_array_has_no_events() -> None:
    assert parse_message(b"[]", RULES) == []


@pytest.mark.parametrize("message", [b"", b"{", b"[", b"[1,]", b"\xff", b"\x80\x04}", b"null", b'"text"', b"[" * 9_999])
def test_what_is_no_event_is_refused_as_a_whole(message: bytes) -> None:
    assert str(refused(message))


def test_a_message_has_at_most_so_many_events() -> None:
    assert len(parse_message(b"[" + b",".join([b"{}"] * BATCH_MAX_EVENTS) + b"]", RULES)) == BATCH_MAX_EVENTS
    refusal = refused(b"[" + b",".join([b"{}"] * (BATCH_MAX_EVENTS + 1)) + b"]")
    assert refusal.reason == "has more than 1,000 events, the most that are accepted at once"


def test_a_message_has_at_most_so_many_bytes_and_a_single_event_as_many_as_the_rules_say() -> None:
    large = plain(data={"x": "y" * MESSAGE_MAX_BYTES})
    assert "at most 8,388,608 are accepted" in refused(large).reason
    generous = EventRules(load_catalogue(), max_bytes=2 * MESSAGE_MAX_BYTES)
    ((found, _),) = parse_message(large.encode(), generous)
    assert isinstance(found, Event)
    assert "at most 1,048,576 are accepted" in refused(plain(data={"x": "y" * 1_048_576})).reason


def test_an_event_without_an_id_has_its_messages_and_those_of_an_array_one_each() -> None:
    assert one(plain(), "m-1").id == "m-1"
    assert one(plain(id="own"), "m-1").id == "own"
    array = f"[{plain()},{plain()}]".encode()
    ids = [[event.id for event in split(parse_message(array, RULES, "m-1"))[0]] for _ in range(2)]
    assert ids[0] == ids[1] == [event_id("m-1", 0), event_id("m-1", 1)]


@pytest.mark.parametrize("message_id", ["x" * 129, "line\nbreak"])
def test_a_message_id_that_may_be_no_events_is_turned_into_one(message_id: str) -> None:
    assert one(plain(), message_id).id == event_id(message_id, 0)


def test_without_any_id_it_is_another_event_each_time() -> None:
    assert one(plain()).id != one(plain()).id


def test_the_id_of_a_message_that_is_a_uuid_is_the_namespace_itself() -> None:
    name = "6f0e8a1e-52f7-5c0e-9a3b-6d3f0f7f4b11"
    assert event_id(name, 3) == str(uuid5(UUID(name), "3"))


def test_a_message_that_meets_a_bug_of_ours_is_refused_and_does_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(message_parser, "parse_event", broken)
    assert refused(plain()).reason == "internal error: ZeroDivisionError"


@pytest.mark.parametrize("first", [b"", b" " * 10])
async def test_the_events_of_a_message_are_parsed_in_steps(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    message = first + b"[" + b",".join([b'{"type":"order.paid","data":{}}'] * BATCH_MAX_EVENTS) + b"]"
    async with counted_turns() as turns:
        turns.count(monkeypatch, message_parser, "parse_event")
        found = await parse_message_paced(message, RULES)
    assert len(found) == BATCH_MAX_EVENTS
    assert turns.most <= STEP_PARTS


@pytest.mark.parametrize("message", [b"", b"{", b"[1,2]", b"[]", b'{"type":"order.paid","data":{}}', b"[" * 5_000])
async def test_in_steps_a_message_is_what_it_is_in_one(message: bytes) -> None:
    found, in_steps = parse_message(message, RULES), await parse_message_paced(message, RULES)
    kinds = [[type(each).__name__ for each, _ in parsed] for parsed in (found, in_steps)]
    assert kinds[0] == kinds[1]
    assert [given for _, given in found] == [given for _, given in in_steps]


def test_an_envelope_that_is_far_larger_than_an_event_is_not_opened() -> None:
    raw = b'{"specversion":"1.0","id":"1","source":"/","type":"order.paid","x":"%b","data":{}}'
    rules = EventRules(load_catalogue(), max_bytes=1_000)
    assert isinstance(parse_message(raw % (b"x" * 1_500), rules)[0][0], Event)
    ((refusal, _),) = parse_message(raw % (b"x" * 2_000), rules)
    assert isinstance(refusal, Refusal)
    assert "at most 1,000" in refusal.reason
