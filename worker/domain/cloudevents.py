"""Conversion of CloudEvents 1.0 to the JSON of our own events, which `worker.domain.event_parser` then checks.

Sources, all of version 1.0.2 of https://github.com/cloudevents/spec: the specification ("spec"), the JSON event format
("JSON"), the HTTP and AMQP protocol bindings ("HTTP", "AMQP").

    CloudEvent                                 our event
    ---------------------------------------    -------------------
    type, id, source, time, data               the same names
    data_base64, where the content is JSON     data
    storeid, orgid (extension attributes)      store_id, org_id
    traceparent, tracestate (the extension     the same names
    for distributed tracing)
    included (our producers' own addition)     included
    data, where the extension attribute        payload
    edwpayload (a boolean) is true
    subject, dataschema, other extensions      ignored

Values are slices of the original bytes: `10.00` stays `10.00`.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Raw, UnsetType

from worker.domain.event import Refusal

SPECVERSION = "1.0"
#: The required attributes (spec 3.1.1), except `specversion`.
REQUIRED = ("id", "source", "type")
#: Prefix of the names of attributes in HTTP headers (HTTP 3.1.3.1).
HTTP_PREFIX = "ce-"

#: Prefixes of the names of attributes in AMQP properties (AMQP 3.1.3.1); the second is for brokers with JMS clients.
AMQP_PREFIXES = ("cloudEvents:", "cloudEvents_")
#: Start of the media types of structured and batched mode; any other type means binary mode (HTTP 3, AMQP 3).
MEDIA_TYPE = "application/cloudevents"
#: Attributes that become a field of our event, or that decide whether it is accepted.
_ATTRIBUTES = ("specversion", *REQUIRED, "time", "datacontenttype", "storeid", "orgid")
#: Attributes of the extension for distributed tracing. They are copied here, and checked where they are used.
_TRACE = ("traceparent", "tracestate")
#: An extension attribute of ours: true if the data is an event's flat `payload`, and not a resource.
_FLAT = "edwpayload"
#: The headers of those attributes in binary mode. The content type has its own header.
_HEADERS = frozenset(HTTP_PREFIX + name for name in (*_ATTRIBUTES, *_TRACE, _FLAT) if name != "datacontenttype")
# Possessive: a string without an end is skipped as a whole, so the scan does not start again at each quote inside it.
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)("?)', re.DOTALL)
#: The beginning of an object whose first member is a list at `data`.
_WRAPPED_BATCH = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"data"[ \t\r\n]*+:[ \t\r\n]*+\[')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
#: Characters of a received value that a refusal repeats.
_SHOWN_CHARS = 80

Slice = Raw | UnsetType
_WHITESPACE = b" \t\r\n"  # of JSON (RFC 8259, section 2)
Decoded = TypeVar("Decoded")


class _Structured(msgspec.Struct):
    specversion: Slice = UNSET
    id: Slice = UNSET
    source: Slice = UNSET
    type: Slice = UNSET
    time: Slice = UNSET
    datacontenttype: Slice = UNSET
    storeid: Slice = UNSET
    orgid: Slice = UNSET
    traceparent: Slice = UNSET
    tracestate: Slice = UNSET
    edwpayload: Slice = UNSET
    data: Slice = UNSET
    data_base64: Slice = UNSET
    included: Slice = UNSET
    payload: Slice = UNSET
    store_id: Slice = UNSET
    org_id: Slice = UNSET


class _Ours(msgspec.Struct):
    type: Slice
    id: Slice
    source: Slice
    time: Slice
    store_id: Slice
    org_id: Slice
    traceparent: Slice
    tracestate: Slice
    data: Slice
    included: Slice
    payload: Slice


class _Version(msgspec.Struct):
    specversion: Slice = UNSET


_version = msgspec.json.Decoder(_Version)
_structured = msgspec.json.Decoder(_Structured)
_text = msgspec.json.Decoder(str)
_value = msgspec.json.Decoder(Raw)


def is_cloudevent(raw_object: bytes) -> bool:
    """Return whether a text is a JSON object that has a `specversion`."""
    if b"specversion" not in raw_object:
        return False
    try:
        return _unless_null(_version.decode(raw_object).specversion) is not UNSET
    except (msgspec.DecodeError, RecursionError):
        return False


def event_of_structured(raw: bytes) -> bytes | Refusal:
    """Convert a CloudEvent in the JSON event format (JSON 3) to our event."""
    event = _decoded(_structured, raw, "a JSON object")
    if isinstance(event, Refusal):
        return event
    slices: dict[str, Slice] = {name: _unless_null(getattr(event, name)) for name in _ATTRIBUTES}
    texts: dict[str, str] = {}
    for name, value in slices.items():
        if isinstance(value, UnsetType):
            continue
        text = _string(value)
        if text is None:
            return Refusal(name, "expected a string")
        texts[name] = text
    for name in ("store_id", "org_id"):
        # If it were ignored like other unknown names, the event would belong to no store.
        if getattr(event, name) is not UNSET:
            return Refusal(name, f'is not an attribute of a CloudEvent; expected "{name.replace("_", "")}"')
    if event.payload is not UNSET:
        return Refusal("payload", f"is not an attribute of a CloudEvent; send it as data, with {_FLAT}: true")
    if problem := _problem(texts):
        return problem
    flat = _flag(None if isinstance(event.edwpayload, UnsetType) else bytes(event.edwpayload).decode(errors="replace"))
    if isinstance(flat, Refusal):
        return flat
    slices |= {name: _unless_null(getattr(event, name)) for name in _TRACE}
    data = _structured_data(event)
    return data if isinstance(data, Refusal) else _ours(slices, data, _unless_null(event.included), flat=flat)


def event_of_binary(attributes: Mapping[str, str], body: bytes) -> bytes | Refusal:
    """Convert a CloudEvent in binary mode to our event: the body is its data, and the transport has its attributes.

    `attributes` has names without a transport's prefix, and decoded values; the transport's content type is
    `datacontenttype`. `attributes_of_headers` makes them from HTTP headers, `attributes_of_properties` from AMQP.
    """
    if problem := _problem(attributes):
        return problem
    data: Slice | Refusal = _json(body, "data") if body else UNSET
    if isinstance(data, Refusal):
        return data
    slices: dict[str, Slice] = {}
    for name in _ATTRIBUTES:
        try:
            slices[name] = Raw(msgspec.json.encode(attributes[name])) if name in attributes else UNSET
        except UnicodeEncodeError:
            return Refusal(name, "is not UTF-8")
    for name in _TRACE:
        text = attributes.get(name, "")
        slices[name] = Raw(msgspec.json.encode(text)) if text and text.isascii() else UNSET
    flat = _flag(attributes.get(_FLAT))
    return flat if isinstance(flat, Refusal) else _ours(slices, data, UNSET, flat=flat)


def attributes_of_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str] | Refusal:
    """Return the attributes of a CloudEvent in binary mode over HTTP (HTTP 3.1.3), with names in lower case.

    Attributes that `event_of_binary` does not read are left out, and are not decoded.
    """
    attributes: dict[str, str] = {}
    for header, value in headers:
        name = header.lower()
        if name == "content-type":
            attributes["datacontenttype"] = value
        elif name in _HEADERS:
            try:
                # Double quotes first, then one round of percent-decoding (HTTP 3.1.3.2).
                attributes[name.removeprefix(HTTP_PREFIX)] = unquote(_unquoted(value), errors="strict")
            except UnicodeDecodeError:
                return Refusal(name, "its percent-encoded bytes are not UTF-8")
    return attributes


def attributes_of_properties(headers: Mapping[str, object], content_type: str | None) -> dict[str, str] | None:
    """Return the attributes of a CloudEvent in binary mode over AMQP (AMQP 3.1); None if the message is not one.

    The binding is for AMQP 1.0. Its application properties are the headers of AMQP 0.9.1.
    """
    if content_type and content_type.strip().lower().startswith(MEDIA_TYPE):
        return None
    attributes = {
        name.removeprefix(prefix): _canonical(value)
        for name, value in headers.items()
        for prefix in AMQP_PREFIXES
        if name.startswith(prefix)
    }
    if "specversion" not in attributes:
        return None
    return attributes | ({"datacontenttype": content_type} if content_type else {})


def split_batch(raw: bytes, most: int) -> list[bytes] | Refusal:
    """Return the elements of a JSON array as bytes: a batch of CloudEvents (JSON 4) or of our events.

    The decoder stops at the first element over `most`, because a body of commas and brackets can have millions.
    """
    try:
        batch = _batch_decoder(most).decode(raw)
    except msgspec.ValidationError:
        # The elements are slices, so the error can only be that the text is no array, or has too many elements.
        is_array = raw.lstrip(_WHITESPACE)[:1] == b"["
        too_many = f"has more than {most:,} events, the most that are accepted at once"
        return Refusal("", too_many if is_array else "expected a JSON array")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Refusal("", f"is not JSON: {error}")
    except RecursionError:
        return Refusal("", "is nested too deeply")
    return _elements(batch)


def begins_as_wrapped_batch(raw: bytes) -> bool:
    """Return whether a text begins with `{"data": [`, as nearly every wrapped batch does."""
    return _WRAPPED_BATCH.match(raw) is not None


def split_wrapped_batch(raw: bytes, most: int) -> list[bytes] | None:
    """Return the elements of the array in a JSON object `{"data": [ … ]}` as bytes, after a single look at the text.

    None if the text is anything else; then `split_batch` of the value at `data` returns the elements, or says why not.
    """
    try:
        found = _wrapped_batch_decoder(most).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _elements(found.data) if found.type is UNSET else None


def _elements(batch: msgspec.Struct) -> list[bytes]:
    slices = msgspec.structs.astuple(batch)
    return [bytes(each) for each in (slices[: slices.index(UNSET)] if slices[-1] is UNSET else slices)]


@lru_cache(maxsize=8)  # one for each of our limits
def _batch_type(most: int) -> type[msgspec.Struct]:
    """Return a type for arrays of at most `most` elements.

    A list decoder decodes the whole list before it checks the length. An array-like struct stops after its last field.
    """
    fields = [(f"element_{index}", Slice, UNSET) for index in range(most)]
    return msgspec.defstruct("Batch", fields, array_like=True, forbid_unknown_fields=True)


@lru_cache(maxsize=8)
def _batch_decoder(most: int) -> "msgspec.json.Decoder[msgspec.Struct]":
    return msgspec.json.Decoder(_batch_type(most))


@lru_cache(maxsize=8)
def _wrapped_batch_decoder(most: int) -> "msgspec.json.Decoder[Any]":
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [("data", _batch_type(most)), ("type", Slice, UNSET)]
    return msgspec.json.Decoder(msgspec.defstruct("WrappedBatch", fields))


def _problem(attributes: Mapping[str, str]) -> Refusal | None:
    """Return why the attributes are not those of a CloudEvent that we accept; None if they are."""
    version = attributes.get("specversion")
    if version != SPECVERSION:
        return Refusal("specversion", f'expected "{SPECVERSION}", got {_quoted(version)}')
    for name in REQUIRED:
        if not attributes.get(name):
            return Refusal(name, "is empty" if name in attributes else "is required in a CloudEvent")
    content_type = attributes.get("datacontenttype")
    if not is_json(content_type):
        expected = "expected JSON (application/json, or a type that ends in +json)"
        return Refusal("datacontenttype", f"{expected}, got {_quoted(content_type)}")
    return None


def _flag(written: str | None) -> bool | Refusal:
    """Return a boolean attribute: JSON's own, or its canonical string form (spec 3, type system); False without it."""
    text = "null" if written is None else written.strip('"')
    if text in ("true", "false", "null"):
        return text == "true"
    return Refusal(_FLAT, "expected true or false: whether data is the event's flat payload")


def _ours(slices: Mapping[str, Slice], data: Slice, included: Slice, *, flat: bool) -> bytes:
    return msgspec.json.encode(
        _Ours(
            type=slices["type"],
            id=slices["id"],
            source=slices["source"],
            time=slices["time"],
            store_id=slices["storeid"],
            org_id=slices["orgid"],
            traceparent=slices["traceparent"],
            tracestate=slices["tracestate"],
            data=UNSET if flat else data,
            included=included,
            payload=data if flat else UNSET,
        )
    )


def _structured_data(event: _Structured) -> Slice | Refusal:
    """Return the data from `data` or `data_base64`, which exclude each other (JSON 3.1.1)."""
    encoded = _unless_null(event.data_base64)
    if isinstance(encoded, UnsetType):
        return event.data
    if event.data is not UNSET:
        return Refusal("data_base64", "expected either this or data, and not both")
    try:
        content = b64decode((_string(encoded) or "-").encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return Refusal("data_base64", "expected a string of Base64 (RFC 4648, section 4)")
    return _json(content, "data_base64")


def _json(text: bytes, field: str) -> Raw | Refusal:
    """Return a text as a slice that can be embedded in JSON, if it is exactly one JSON value."""
    found = _decoded(_value, text, "JSON")
    return Refusal(field, found.reason) if isinstance(found, Refusal) else found


def _decoded(decoder: "msgspec.json.Decoder[Decoded]", raw: bytes, what: str) -> Decoded | Refusal:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        # The fields are slices, so only the whole text can have the wrong type.
        return Refusal("", f"expected {what}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Refusal("", f"is not JSON: {error}")
    except RecursionError:
        return Refusal("", "is nested too deeply")


def _unless_null(value: Slice) -> Slice:
    """Return the value, or UNSET if it is null: a null attribute counts as absent (JSON 2.2)."""
    return UNSET if isinstance(value, UnsetType) or bytes(value) == b"null" else value


def _string(value: Raw) -> str | None:
    """Return the text of a slice; None if it is not a string."""
    try:
        return _text.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_json(content_type: str | None) -> bool:
    """Return whether a content type is `*/json` or `*/*+json`, with any parameters (JSON 3.1.1).

    Without a content type, the data is JSON (JSON 3.1.2).
    """
    if content_type is None:
        return True
    kind, _, subtype = content_type.partition(";")[0].strip().lower().partition("/")
    return bool(kind) and (subtype == "json" or subtype.endswith("+json"))


def _unquoted(value: str) -> str:
    """Return a header's value without its double quotes and their backslashes (RFC 9110, section 5.6.4).

    A string without an end stays as it is.
    """
    return _QUOTED.sub(lambda quoted: _ESCAPED.sub(r"\1", quoted[1]) if quoted[2] else quoted[0], value)


def _canonical(value: object) -> str:
    """Return a native value in its canonical string form (AMQP 3.1.3.2; spec 3, type system)."""
    match value:
        case bool():
            return str(value).lower()
        case bytes():
            return value.decode(errors="replace")
        case datetime():
            # A timestamp of AMQP 0.9.1 is in UTC, but has no time zone.
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case _:
            return str(value)


def _quoted(value: str | None) -> str:
    if value is None:
        return "nothing"
    return f'"{value}"' if len(value) <= _SHOWN_CHARS else f'"{value[:_SHOWN_CHARS]}…"'
