"""The resource that an event is about, by which people find the event."""

from binascii import b2a_base64
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from deliverers.quick_values import quickly_made

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
#: A copy of it costs half of what making one costs.
_EMPTY_DIGEST = blake2b(digest_size=16, person=b"edw-resource")


@quickly_made
@dataclass(frozen=True, slots=True)
class AffectedResource:
    """The type and the id of a resource, such as `order` and `123`."""

    type: str
    id: str

    def key(self, scope_key: str) -> str:
        """Return a short text that no other resource, and no other scope's, has: 22 characters of base64url."""
        # The lengths say where each part ends.
        parts = f"{len(scope_key)} {len(self.type)} {scope_key}{self.type}{self.id}"
        digest = _EMPTY_DIGEST.copy()
        digest.update(parts.encode("utf-8", "surrogatepass"))
        return b2a_base64(digest.digest(), newline=False)[:-2].translate(_URL_SAFE).decode()


class _Usual(msgspec.Struct):
    type: str
    id: str


class _Identified(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw(b"null")
    id: msgspec.Raw = msgspec.Raw(b"null")


_usual = msgspec.json.Decoder(_Usual)
_identified = msgspec.json.Decoder(_Identified)
_text = msgspec.json.Decoder(str)


def affected_resource(triggered_by: str, data: bytes) -> AffectedResource | None:
    """Return the resource of an event's `data`; None if that has no id.

    A missing type is taken from the observable key. A number is an id too, as it was written.
    """
    try:
        usual = _usual.decode(data)
        if usual.id and usual.type:
            return AffectedResource(usual.type, usual.id)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        # Nearly every event has both as texts; the rest takes longer.
        pass
    try:
        found = _identified.decode(data)
        identity = _text_of(bytes(found.id))
        kind = _text_of(bytes(found.type)) or triggered_by.rpartition(".")[0]
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return AffectedResource(kind, identity) if identity else None


def _text_of(raw: bytes) -> str:
    if raw.startswith(b'"'):
        return _text.decode(raw)
    return raw.decode() if raw[:1] in b"-0123456789" else ""
