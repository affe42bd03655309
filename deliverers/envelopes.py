"""A delivery, as the bytes on the wire.

The resources are spliced in as the producer wrote them and never decoded: `10.00` stays `10.00`, a number beyond a
double stays exact, and a body costs microseconds.
"""

from __future__ import annotations

import msgspec

from deliverers.contract import Delivery

_encode = msgspec.json.encode
_DELETED = ".deleted"
_TEXT_OR_NUMBER = (b'"', b"-", b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9")


class _Deleted(msgspec.Struct):
    """What is told of a resource that is no more."""

    type: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


_decode_deleted = msgspec.json.Decoder(_Deleted).decode


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
