"""A delivery, as the bytes on the wire.

The resources are spliced in as the producer wrote them and never decoded: `10.00` stays `10.00`, a number beyond a
double stays exact, and a body costs microseconds.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from deliverers.contract import Delivery

#: The media type of `cloudevent_body` (CloudEvents 1.0.2, JSON event format, section 3).
CLOUDEVENT_TYPE = "application/cloudevents+json"
#: What stands for resources that were left out to make a message fit.
ELIDED = b'{"meta":{"includes_elided":true}}'

_encode = msgspec.json.encode
_DELETED = ".deleted"
_WHITESPACE = b" \t\r\n"  # of JSON (RFC 8259, section 2)
_TEXT_OR_NUMBER = (b'"', b"-", b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9")


class _Deleted(msgspec.Struct):
    """What is told of a resource that is no more."""

    type: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


_decode_deleted = msgspec.json.Decoder(_Deleted).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def webhook_body(delivery: Delivery) -> bytes:
    """Build the JSON that a webhook receives ("What a webhook receives" in the domain's description).

    Never raises for an event that was accepted, however odd its `data` is. `store_id` and `org_id` are there only
    where the event carries them.
    """
    if delivery.triggered_by.endswith(_DELETED):
        payload = resources = _deleted_json(delivery)
    else:
        payload = _payload_json(delivery)
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            # JSON is UTF-8 (RFC 8259, section 8.1), so intake refuses this; a body in doubt is better than no body.
            text = payload.decode("utf-8", "replace")
            payload = text.encode()
        resources = _encode(text)
    parts = [
        b'{"id":',
        _encode(delivery.event_id),
        b',"triggered_by":',
        _encode(delivery.triggered_by),
        b',"attempt":%d,"integration":' % delivery.attempt,
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
    # The url only: a secret never enters a body.
    parts += b',"configuration":{"url":', _encode(url if isinstance(url, str) else None), b"}}"
    return b"".join(parts)


def cloudevent_body(delivery: Delivery, elide: bool = False) -> bytes:
    """Build the CloudEvent 1.0 in structured JSON that a message queue receives.

    What it holds is "What a message queue receives" in the domain's description. Where that leaves a choice:

    - `data` is always the resource. What the event includes stands inside of it, as its last member `included`: beside
      `data` it would be an extension attribute, which must not be an object (CloudEvents 1.0.2, "Type System"), and
      around the resource `data` would have two shapes. `elide` puts `ELIDED` in its place.
    - `source` is the event's; where it has none, `/stores/<store_id>`, else `/organizations/<org_id>`, else `/`.
    - `storeid` and `orgid` are there only where the event carries them.

    Never raises for an event that was accepted.
    """
    if delivery.triggered_by.endswith(_DELETED):
        data = _deleted_json(delivery)
    elif delivery.included is None:
        data = _utf8(delivery.data)
    else:
        data = _with_included(_utf8(delivery.data), ELIDED if elide else _utf8(delivery.included))
    parts = [
        b'{"specversion":"1.0","id":',
        _encode(delivery.event_id),
        b',"source":',
        _encode(delivery.source or _source(delivery)),
        b',"type":',
        _encode(delivery.triggered_by),
        b',"time":',
        _encode(delivery.time),
        b',"datacontenttype":"application/json","integrationid":',
        _encode(delivery.integration.id),
    ]
    if delivery.store_id is not None:
        parts += b',"storeid":', _encode(delivery.store_id)
    if delivery.org_id is not None:
        parts += b',"orgid":', _encode(delivery.org_id)
    # CloudEvents' extension for distributed tracing.
    for name, value in delivery.trace.items():
        parts += b",", _encode(name), b":", _encode(value)
    parts += b',"attempt":%d,"data":' % delivery.attempt, data, b"}"
    return b"".join(parts)


def can_be_elided(delivery: Delivery) -> bool:
    """True where `cloudevent_body` can leave something out."""
    return delivery.included is not None and not delivery.triggered_by.endswith(_DELETED)


def _source(delivery: Delivery) -> str:
    # A URI reference (CloudEvents 1.0.2, "source"), so an id is quoted as one segment of a path.
    if delivery.store_id:
        return f"/stores/{quote(delivery.store_id, safe='')}"
    return f"/organizations/{quote(delivery.org_id, safe='')}" if delivery.org_id else "/"


def _with_included(resource: bytes, included: bytes) -> bytes:
    bare = resource.strip(_WHITESPACE)
    if not (bare.startswith(b"{") and bare.endswith(b"}")):
        return resource  # intake takes objects only
    # Two members of one name would mean what a parser likes, so the event's takes the place of the resource's own.
    if (b"included" in bare or b"\\u" in bare) and "included" in (members := _members(bare)):
        return _encode({**members, "included": msgspec.Raw(included)})
    comma = b"," if bare[1:-1].strip(_WHITESPACE) else b""
    return bare[:-1] + comma + b'"included":' + included + b"}"


def _members(resource: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_members(resource)
    except (msgspec.MsgspecError, RecursionError):
        return {}


def _utf8(raw: bytes) -> bytes:
    # JSON is UTF-8 (RFC 8259, section 8.1), so intake refuses anything else; a body in doubt is better than no body.
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace").encode()
    return raw


def _payload_json(delivery: Delivery) -> bytes:
    if delivery.included is None:
        return b'{"data":' + delivery.data + b"}"
    return b'{"data":' + delivery.data + b',"included":' + delivery.included + b"}"


def _deleted_json(delivery: Delivery) -> bytes:
    """`{"type", "id"}` of the resource, both always there.

    A `type` that the data lacks is the observable key's own resource; an `id` that it lacks is `null`, since any other
    value would be somebody else's. A number stays the number it was.
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
