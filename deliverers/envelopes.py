"""A delivery as the bytes on the wire.

Resources are inserted as the producer wrote them and never decoded: `10.00` stays `10.00`, a number too large for a
double stays exact, and a body costs only microseconds.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from deliverers.contract import Delivery
from deliverers.timestamps import canonical_time

#: The media type of `cloudevent_body` (CloudEvents 1.0.2, JSON event format, section 3).
CLOUDEVENT_TYPE = "application/cloudevents+json"
#: Replaces resources that were left out to make a message fit.
ELIDED = b'{"meta":{"includes_elided":true}}'

_encode = msgspec.json.encode
_DELETED = ".deleted"
_BACKSLASH = 0x5C
_WHITESPACE = b" \t\r\n"  # JSON's whitespace (RFC 8259, section 2)
_TEXT_OR_NUMBER = (b'"', b"-", b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9")


class _Deleted(msgspec.Struct):
    """The members that are sent of a deleted resource."""

    type: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


_decode_deleted = msgspec.json.Decoder(_Deleted).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def webhook_body(delivery: Delivery, secret_key: str | None = None) -> bytes:
    """Build the JSON body that a webhook receives; deliverers/README.md describes it.

    This never raises for an accepted event, however odd its `data` is. `store_id` and `org_id` are there only if the
    event has them. `secret_key` becomes a member of `configuration`; None leaves that member out.
    """
    if delivery.triggered_by.endswith(_DELETED):
        # An object in `resources` too: receivers of a deleted resource do not parse a string.
        payload = resources = _utf8(delivery.data) if delivery.flat else _deleted_json(delivery)
    else:
        payload = _payload_json(delivery)
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            # JSON is UTF-8 (RFC 8259, section 8.1), so intake refuses this; a doubtful body is still better than none.
            text = payload.decode("utf-8", "replace")
            payload = text.encode()
        resources = _encode(text)
    parts = [
        b'{"id":',
        _encode(delivery.event_id),
        b',"triggered_by":',
        _encode(delivery.triggered_by),
        b',"attempt":%d,"sequence":%d,"integration":' % (delivery.attempt, delivery.sequence),
        _encode(delivery.integration),
        b',"payload":',
        payload,
        b',"resources":',
        resources,
    ]
    if delivery.store_id is not None:
        parts += b',"store_id":', _encode(delivery.store_id)
    if delivery.org_id is not None:
        parts += b',"org_id":', _encode(delivery.org_id)
    url = getattr(delivery.configuration, "url", None)
    parts += b',"configuration":{"url":', _encode(url if isinstance(url, str) else None)
    if secret_key is not None:
        parts += b',"secret_key":', _encode(secret_key)
    parts.append(b"}}")
    return b"".join(parts)


def cloudevent_body(delivery: Delivery, elide: bool = False) -> bytes:
    """Build the CloudEvent 1.0 in structured JSON that a message queue receives.

    deliverers/README.md describes it. Choices where that leaves one:

    - `data` is always the resource, or the flat payload of an event that has one. The included resources are its last
      member, `included`. Next to `data`, they would be an extension attribute, which must not be an object (CloudEvents
      1.0.2, "Type System"). Around the resource, they would give `data` two shapes. `elide` puts `ELIDED` in their
      place.
    - `source` is the event's; if it has none, `/stores/<store_id>`, or else `/organizations/<org_id>`, or else `/`.
    - `time` is the event's in canonical form: SDKs refuse a whole event for an offset without a colon.
    - `storeid` and `orgid` are there only if the event has them.

    This never raises for an accepted event.
    """
    parts = [
        b'{"specversion":"1.0","id":',
        _encode(delivery.event_id),
        b',"source":',
        _encode(delivery.source or _source(delivery)),
        b',"type":',
        _encode(delivery.triggered_by),
        b',"time":',
        _encode(canonical_time(delivery.time)),
        b',"datacontenttype":"application/json","integrationid":',
        _encode(delivery.integration.id),
    ]
    if delivery.store_id is not None:
        parts += b',"storeid":', _encode(delivery.store_id)
    if delivery.org_id is not None:
        parts += b',"orgid":', _encode(delivery.org_id)
    if delivery.trace:
        # CloudEvents' extension for distributed tracing.
        for name, value in delivery.trace.items():
            parts += b",", _encode(name), b":", _encode(value)
    # CloudEvents' extension "sequence" is a text, which sorts as the numbers do.
    parts.append(b',"sequence":"%020d","attempt":%d,"data":' % (delivery.sequence, delivery.attempt))
    if delivery.triggered_by.endswith(_DELETED) and not delivery.flat:
        parts.append(_deleted_json(delivery))
    elif delivery.included is None:
        parts.append(delivery.data)
    else:
        parts += _with_included(delivery.data, ELIDED if elide else delivery.included)
    parts.append(b"}")
    return _utf8(b"".join(parts))


def can_be_elided(delivery: Delivery) -> bool:
    """Return whether `cloudevent_body` can leave anything out."""
    return delivery.included is not None and not delivery.triggered_by.endswith(_DELETED)


def _source(delivery: Delivery) -> str:
    # A URI reference (CloudEvents 1.0.2, "source"), so an id is quoted as one path segment.
    if delivery.store_id:
        return f"/stores/{quote(delivery.store_id, safe='')}"
    return f"/organizations/{quote(delivery.org_id, safe='')}" if delivery.org_id else "/"


def _with_included(resource: bytes, included: bytes) -> tuple[bytes, ...]:
    """Return the parts of a resource whose last member is `included`."""
    bare = resource.strip(_WHITESPACE)
    if not (bare.startswith(b"{") and bare.endswith(b"}")):
        return (resource,)  # intake takes objects only
    # Parsers differ on two members of one name, so the event's member replaces the resource's own.
    # As fast as bytes are searched: rfind() is twice as fast as find(), and one byte is found faster than two.
    may_have_one = bare.rfind(b"included") >= 0 or (_BACKSLASH in bare and bare.rfind(b"\\u") >= 0)
    if may_have_one and "included" in (members := _members(bare)):
        return (_encode({**members, "included": msgspec.Raw(included)}),)
    begun = bare[:-1]
    comma = b"" if begun.rstrip(_WHITESPACE) == b"{" else b","
    return begun, comma, b'"included":', included, b"}"


def _members(resource: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_members(resource)
    except (msgspec.MsgspecError, RecursionError):
        return {}


def _utf8(raw: bytes) -> bytes:
    # JSON is UTF-8 (RFC 8259, section 8.1), so intake refuses this; a doubtful body is still better than none.
    if raw.isascii():
        return raw
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace").encode()
    return raw


def _payload_json(delivery: Delivery) -> bytes:
    if delivery.flat:
        return delivery.data
    if delivery.included is None:
        return b'{"data":%b}' % delivery.data
    return b"".join((b'{"data":', delivery.data, b',"included":', delivery.included, b"}"))


def _deleted_json(delivery: Delivery) -> bytes:
    """Return `{"type", "id"}` of the resource; both are always there.

    A missing `type` is taken from the observable key. A missing `id` is `null`, because any other value could be
    another resource's. A number stays a number.
    """
    try:
        resource = _decode_deleted(delivery.data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        resource = _Deleted()
    kind = bytes(resource.type)
    if not kind.startswith(b'"'):
        kind = _encode(delivery.triggered_by.rpartition(".")[0])
    identity = bytes(resource.id)
    if not identity.startswith(_TEXT_OR_NUMBER):
        identity = b"null"
    return b'{"type":' + kind + b',"id":' + identity + b"}"
