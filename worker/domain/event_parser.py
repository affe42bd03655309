"""What an event must look like to be accepted.

An event is kept as the bytes that came: `10.00` stays `10.00` and an integer of thirty digits stays exact, because
`data` and `included` are sliced out of the original and never parsed into Python numbers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec

from config.observable_events import Catalogue
from worker.domain.event import Event, ForeignEvent, Refusal, Scope
from worker.domain.finite import place_of_non_number
from worker.domain.nesting import nesting
from worker.domain.trace_context import TraceContext

#: Length of an id (of an event, a store or an organisation), in characters.
ID_MAX_CHARS = 128
#: How deep an event may nest. A decoder's own limit depends on how deep its caller is, and no worker may meet what a
#: producer's process could still read.
NESTING_MAX = 100
#: Length of the optional `source`, in characters.
SOURCE_MAX_CHARS = 2048

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_WORDS = {
    "str": "a string",
    "str | null": "a string",
    "object": "an object",
    "int": "a number",
    "null": "null",
    "NoneType": "null",
    "list": "a list",
    "array": "a list",
    "bool": "true or false",
}


@dataclass(frozen=True, slots=True)
class EventRules:
    """What this deployment accepts: the catalogue of observable keys, and the size of an event in bytes."""

    catalogue: Catalogue
    max_bytes: int = 1024 * 1024

    @property
    def envelope_max_bytes(self) -> int:
        """Bytes of a CloudEvent in JSON: Base64 and attributes that are ignored may make one larger than its event."""
        return 2 * self.max_bytes

    def too_large(self, raw: bytes) -> Refusal:
        """Refuse an event, or its envelope, for its size."""
        return Refusal("", f"the event has {len(raw):,} bytes, and at most {self.max_bytes:,} are accepted")


_NULL = msgspec.Raw(b"null")


class _Wire(msgspec.Struct):
    type: str
    data: msgspec.Raw
    id: str | None = None
    time: str | None = None
    source: str | None = None
    included: msgspec.Raw = _NULL
    store_id: str | None = None
    org_id: str | None = None
    # Whatever they are: what is no trace context is ignored.
    traceparent: msgspec.Raw = _NULL
    tracestate: msgspec.Raw = _NULL


_text = msgspec.json.Decoder(str)
_decoder = msgspec.json.Decoder(_Wire)


def parse_event(
    given: bytes | Mapping[str, Any], rules: EventRules, default_id: str | None = None, scope: Scope | None = None
) -> Event | Refusal:
    """Checks one event and slices it.

    `given` is the event's JSON, or a mapping that is encoded first (dates, UUIDs and decimals become strings).
    `default_id` is used where the event has no id; without one it gets a random UUID. With `scope`, the event is of
    that scope whether it says so or not; where it names another one, the answer is Foreign.
    """
    raw = given if isinstance(given, bytes) else _encode(given)
    if isinstance(raw, Refusal):
        return raw
    if len(raw) > rules.max_bytes:
        return rules.too_large(raw)
    wire = _decode(raw)
    if isinstance(wire, Refusal):
        return wire
    whose = scope or Scope(wire.org_id or None, wire.store_id or None)
    refusal = (_foreign(wire, scope) if scope else None) or _problem(wire, rules.catalogue, whose.level)
    if refusal:
        return refusal
    return _event(raw, wire, wire.id or default_id or str(uuid4()), whose)


def stored_event(raw: bytes, event_id: str, scope: Scope, trace: TraceContext | None = None) -> Event:
    """An event as the ledger kept it: accepted once, and so not checked again."""
    return _event(raw, _decoder.decode(raw), event_id, scope, trace)


def _event(raw: bytes, wire: _Wire, event_id: str, scope: Scope, trace: TraceContext | None = None) -> Event:
    return Event(
        id=event_id,
        type=wire.type,
        scope=scope,
        raw=raw,
        data=bytes(wire.data),
        included=_given(wire.included),
        time=wire.time,
        source=wire.source,
        trace=trace or _trace(wire),
    )


def _trace(wire: _Wire) -> TraceContext | None:
    if wire.traceparent is _NULL:
        return None
    return TraceContext.of(_string(wire.traceparent), _string(wire.tracestate))


def _string(value: msgspec.Raw) -> str | None:
    try:
        return _text.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _given(value: msgspec.Raw) -> bytes | None:
    content = bytes(value)
    return None if content == b"null" else content


def _encode(given: Mapping[str, Any]) -> bytes | Refusal:
    if not isinstance(given, Mapping):
        return Refusal("", f"expected a JSON object, got {_word(type(given).__name__)}")
    try:
        raw = msgspec.json.encode(dict(given))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return Refusal("", f"cannot be written as JSON: {error}")
    # The encoder writes null for a number that JSON does not have: another value than the one that was given.
    if b"null" in raw and (place := place_of_non_number(given)) is not None:
        return Refusal(".".join(place), "expected a finite number, got infinity or not-a-number", place)
    return raw


def _decode(raw: bytes) -> _Wire | Refusal:
    try:
        # Slices are not looked into by the decoder, so that the encoding is checked for the whole.
        raw.decode()
        if nesting(raw, NESTING_MAX) > NESTING_MAX:
            return Refusal("", f"is nested too deeply: at most {NESTING_MAX} levels are accepted")
        return _decoder.decode(raw)
    except UnicodeDecodeError as error:
        return Refusal("", f"is not UTF-8 (byte {error.start})")
    except msgspec.ValidationError as error:
        return _explained(str(error))
    except msgspec.DecodeError as error:
        return Refusal("", f"is not JSON: {error}")


def _explained(message: str) -> Refusal:
    if missing := _MISSING.search(message):
        return Refusal(missing["field"], "is required")
    if wrong := _WRONG_TYPE.search(message):
        return Refusal(wrong["path"] or "", f"expected {_word(wrong['expected'])}, got {_word(wrong['got'])}")
    return Refusal("", message)


def _word(name: str) -> str:
    return _WORDS.get(name, name)


def _foreign(wire: _Wire, scope: Scope) -> Refusal | None:
    for field, named, allowed in (("store_id", wire.store_id, scope.store_id), ("org_id", wire.org_id, scope.org_id)):
        if named and named != allowed:
            mine = f'its sender may speak for "{allowed}" alone' if allowed else "its sender may speak for none"
            return ForeignEvent(field, f"names another one: {mine}")
    return None


def _problem(wire: _Wire, catalogue: Catalogue, level: str) -> Refusal | None:
    for field, value in (("id", wire.id), ("store_id", wire.store_id), ("org_id", wire.org_id)):
        if value is None:
            continue
        if not value:
            return Refusal(field, "is empty; leave it out, or give it a value")
        if len(value) > ID_MAX_CHARS:
            return Refusal(field, f"has {len(value)} characters, and at most {ID_MAX_CHARS} are accepted")
        if _CONTROL.search(value):
            return Refusal(field, "has control characters")
    unknown = catalogue.problem(wire.type, level)
    if unknown:
        return Refusal("type", unknown)
    if not _starts(wire.data, b"{"):
        return Refusal("data", "expected an object: the affected resource")
    if (included := _given(wire.included)) and included[:1] not in (b"{", b"["):
        return Refusal("included", "expected an object or a list of resources")
    if wire.source is not None and (len(wire.source) > SOURCE_MAX_CHARS or _CONTROL.search(wire.source)):
        return Refusal("source", f"expected a URI of at most {SOURCE_MAX_CHARS} characters")
    return _time_problem(wire.time)


def _starts(value: msgspec.Raw, opening: bytes) -> bool:
    return bytes(memoryview(value)[:1]) == opening


def _time_problem(time: str | None) -> Refusal | None:
    if time is None:
        return None
    try:
        moment = msgspec.convert(time, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        return Refusal("time", "expected a date and time with its offset (RFC 3339), such as 2026-11-23T20:41:00Z")
    return None
