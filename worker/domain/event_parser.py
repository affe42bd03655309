"""Parsing and validation of events.

An event keeps its original bytes: `10.00` stays `10.00`, and an integer of thirty digits stays exact. `data`,
`included` and `payload` are slices of those bytes, and are never parsed into Python numbers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from config.observable_events import Catalogue
from worker.domain.cloudevents import event_of_structured, is_cloudevent
from worker.domain.event import Event, ForeignEvent, NewerVersion, Refusal, Scope
from worker.domain.finite import place_of_non_number
from worker.domain.format_version import MINOR, PAYLOAD_SINCE, is_newer
from worker.domain.name_uuid import random_uuid
from worker.domain.nesting import nesting
from worker.domain.trace_context import TraceContext
from worker.domain.uri_reference import is_uri_reference

#: Longest id of an event, a store or an organisation, in characters.
ID_MAX_CHARS = 128
#: Nesting levels that an event may have. A decoder's own limit depends on the depth of its caller's stack. Without a
#: fixed limit, a producer's process could accept an event that a worker cannot read.
NESTING_MAX = 100
#: Segments that a client removes from a path, even if their dots are percent-encoded (RFC 3986, sections 5.2.4 and
#: 6.2.2.2), so no link can lead to such an id.
DOT_SEGMENTS = (".", "..")
#: Longest optional `source`, in characters.
SOURCE_MAX_CHARS = 2048

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: RFC 3339, section 5.7. Python's clock has no second 60.
_LEAP_SECOND = re.compile(r"(.{17})60((?:[.,].*)?[^.,]*)", re.DOTALL)
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
    """What this deployment accepts: the catalogue of observable keys, and the largest event in bytes."""

    catalogue: Catalogue
    max_bytes: int = 1024 * 1024

    @property
    def envelope_max_bytes(self) -> int:
        """Largest CloudEvent in JSON, in bytes. Base64 and ignored attributes can make it larger than its event."""
        return 2 * self.max_bytes

    def too_large(self, raw: bytes) -> Refusal:
        """Return the refusal of an event or CloudEvent that is too large."""
        return Refusal("", f"the event has {len(raw):,} bytes, and at most {self.max_bytes:,} are accepted")


_NULL = msgspec.Raw(b"null")


class _Wire(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw()
    payload: msgspec.Raw = _NULL
    id: str | None = None
    time: str | None = None
    source: str | None = None
    included: msgspec.Raw = _NULL
    store_id: str | None = None
    org_id: str | None = None
    # Raw, because a value of any type is allowed here: an invalid trace context is ignored.
    traceparent: msgspec.Raw = _NULL
    tracestate: msgspec.Raw = _NULL
    #: The minor version that a process needs to understand the event.
    edw_minor: int = 0
    #: Only a CloudEvent has one.
    specversion: msgspec.Raw = _NULL


#: `data` (empty if it is missing), `included` and `payload` (None if they are missing or null), byte for byte.
_Content = tuple[bytes, bytes | None, bytes | None]

_text = msgspec.json.Decoder(str)
_decoder = msgspec.json.Decoder(_Wire)


def parse_event(
    given: bytes | Mapping[str, Any],
    rules: EventRules,
    default_id: str | None = None,
    scope: Scope | None = None,
    *,
    cloudevents: bool = False,
) -> Event | Refusal:
    """Check one event and slice it.

    `given` is the event's JSON, or a mapping, which is encoded first (dates, UUIDs and decimals become strings).
    An event without an id gets `default_id`, or else a random UUID. With `scope`, the event belongs to that scope; an
    event that names another one is refused as ForeignEvent. With `cloudevents`, JSON with a `specversion` is converted
    from a CloudEvent.
    """
    raw = given if isinstance(given, bytes) else _encode(given)
    if isinstance(raw, Refusal):
        return raw
    wire = rules.too_large(raw) if len(raw) > rules.max_bytes else _decode(raw)
    if cloudevents and (isinstance(wire, Refusal) or wire.specversion is not _NULL) and is_cloudevent(raw):
        ours = event_of_structured(raw)
        return ours if isinstance(ours, Refusal) else parse_event(ours, rules, default_id, scope)
    if isinstance(wire, Refusal):
        return wire
    if is_newer(wire.edw_minor):
        return NewerVersion("edw_minor", f"needs minor version {wire.edw_minor}, and this process understands {MINOR}")
    whose = scope or Scope(wire.org_id or None, wire.store_id or None)
    content = _content(wire)
    refusal = (_foreign(wire, scope) if scope else None) or _problem(wire, content, rules.catalogue, whose.level)
    if refusal:
        return refusal
    named = wire.id or default_id
    return _event(raw, wire, content, named or random_uuid(), whose, made=not named)


def stored_event(raw: bytes, event_id: str, scope: Scope, trace: TraceContext | None = None) -> Event:
    """Return an event from the ledger. It was checked when it was accepted, and is not checked again."""
    wire = _decoder.decode(raw)
    return _event(raw, wire, _content(wire), event_id, scope, trace)


def _content(wire: _Wire) -> _Content:
    payload = None if wire.payload is _NULL else _given(wire.payload)
    included = None if wire.included is _NULL else _given(wire.included)
    return bytes(wire.data), included, payload


def _event(
    raw: bytes,
    wire: _Wire,
    content: _Content,
    event_id: str,
    scope: Scope,
    trace: TraceContext | None = None,
    *,
    made: bool = False,
) -> Event:
    data, included, payload = content
    if trace is None and wire.traceparent is not _NULL:
        trace = _trace(wire)
    minor = wire.edw_minor if payload is None else max(PAYLOAD_SINCE, wire.edw_minor)
    return Event(
        event_id,
        wire.type,
        scope,
        raw,
        data if payload is None else payload,
        included,
        wire.time,
        wire.source,
        trace,
        minor,
        payload is not None,
        made,
    )


def _trace(wire: _Wire) -> TraceContext | None:
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
    # The encoder writes infinity and not-a-number as null, which would change the given value.
    if b"null" in raw and (place := place_of_non_number(given)) is not None:
        return Refusal(".".join(place), "expected a finite number, got infinity or not-a-number", place)
    return raw


def _decode(raw: bytes) -> _Wire | Refusal:
    try:
        # The decoder does not look into slices, so the encoding of the whole text is checked here.
        if not raw.isascii():
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
            mine = f'its sender may act for "{allowed}" only' if allowed else "its sender may act for none"
            return ForeignEvent(field, f"names another one: {mine}")
    return None


def _problem(wire: _Wire, content: _Content, catalogue: Catalogue, level: str) -> Refusal | None:
    for field, value in (("id", wire.id), ("store_id", wire.store_id), ("org_id", wire.org_id)):
        if value is None:
            continue
        if not value:
            return Refusal(field, "is empty; leave it out, or give it a value")
        if len(value) > ID_MAX_CHARS:
            return Refusal(field, f"has {len(value)} characters, and at most {ID_MAX_CHARS} are accepted")
        if not value.isprintable() and _CONTROL.search(value):
            return Refusal(field, "has control characters")
        if value[0] == "." and value in DOT_SEGMENTS:
            return Refusal(field, f'is "{value}", which clients and proxies remove from the path of a URL (RFC 3986)')
    unknown = catalogue.problem(wire.type, level)
    if unknown:
        return Refusal("type", unknown)
    if problem := _content_problem(content):
        return problem
    if (source := wire.source) is not None and (len(source) > SOURCE_MAX_CHARS or not is_uri_reference(source)):
        return Refusal("source", f"expected a URI of at most {SOURCE_MAX_CHARS} characters, without spaces (RFC 3986)")
    return _time_problem(wire.time)


def _content_problem(content: _Content) -> Refusal | None:
    """Return what is wrong with `data` and `included`, or with the `payload` in their place."""
    data, included, payload = content
    if payload is not None:
        beside = "data" if data not in (b"", b"null") else "included" if included is not None else ""
        if beside:
            return Refusal("payload", f"is beside {beside}: an event has either data (with included) or payload")
        return None if payload[:1] == b"{" else Refusal("payload", "expected an object, which is sent as it is")
    if data[:1] != b"{":
        expected = "expected an object: the affected resource"
        required = "is required: the affected resource; or payload, an object that is sent as it is"
        return Refusal("data", expected if data else required)
    if included is not None and included[:1] not in (b"{", b"["):
        return Refusal("included", "expected an object or a list of resources")
    return None


def _time_problem(time: str | None) -> Refusal | None:
    if time is None:
        return None
    leap = _LEAP_SECOND.fullmatch(time) if "60" in time else None
    try:
        moment = msgspec.convert(f"{leap[1]}59{leap[2]}" if leap else time, datetime)
    except msgspec.ValidationError:
        moment = None
    # Leap seconds end a day of UTC.
    if moment is None or moment.tzinfo is None or (leap and moment.astimezone(UTC).strftime("%H:%M") != "23:59"):
        return Refusal("time", "expected a date and time with its offset (RFC 3339), such as 2026-11-23T20:41:00Z")
    return None
