"""The record of an event in the ledger: its bytes, and how to read them.

lua/parts/event_records.lua has the form. A record stays as it was written; what changes is in other keys.
"""

from struct import Struct

import msgspec

from worker.domain.event import Event, Ingress, Scope
from worker.domain.event_parser import stored_event
from worker.domain.stored_event import StoredEvent
from worker.domain.trace_context import TraceContext
from worker.ledger.events.payload_codec import PLAIN, decoded, encoded

#: The time of acceptance (ms), the digest, the length of the head, the first job.
_BEGINNING = Struct(">d16sH36s")
_TIME = Struct(">d")
_WITHOUT_TIME = Struct(">16sH36s")
#: Where the first job is not known; the ledger writes it.
_NO_JOB = bytes(36)


#: The length of a job's id in the list of an event's jobs (lua/parts/event_jobs.lua).
ID_BYTES = 36


class EventHead(msgspec.Struct, array_like=True):
    """The head of a record."""

    id: str
    type: str
    scope: str
    ingress: str
    #: Bytes of the event's JSON.
    size: int
    #: How the JSON is stored: see payload_codec.py.
    codec: int
    #: The minor version that a process needs to understand the event.
    minor: int = 0
    trace: str | None = None
    #: The key of its resource; empty if it has none.
    resource: str = ""
    #: 1 if its data was erased.
    erased: int = 0


_heads = msgspec.msgpack.Decoder(EventHead)
_encode = msgspec.msgpack.Encoder().encode


class WireEvent(msgspec.Struct, frozen=True):
    """An event in a script's reply, which carries its record separately."""

    ref: str
    #: For an event in the inbox: how many processes died while they observed it.
    lost: int = 0
    #: For an event in the inbox: the ids of its jobs that are open, one after the other.
    jobs: str = ""

    @property
    def opened(self) -> frozenset[str]:
        """The ids of these jobs."""
        return frozenset(self.jobs[first : first + ID_BYTES] for first in range(0, len(self.jobs), ID_BYTES))


def written(event: Event, ingress: Ingress) -> bytes:
    """Return an event's record without the time, which the ledger adds when it accepts the event."""
    codec, payload = encoded(event.raw, (event.id, event.scope.org_id, event.scope.store_id))
    trace = event.trace.written if event.trace is not None else None
    scope, size = event.scope.key, len(event.raw)
    head = _encode(
        EventHead(event.id, event.type, scope, str(ingress), size, codec, event.minor, trace, event.resource_key)
    )
    return _WITHOUT_TIME.pack(event.digest, len(head), _NO_JOB) + head + payload


def without_data(record: bytes) -> bytes:
    """Return a record whose event has no data and no resource any more; raise ValueError if it is none."""
    head, _ = _parts(record)
    payload = msgspec.json.encode({"type": head.type, "data": {}})
    erased = _encode(msgspec.structs.replace(head, codec=PLAIN, size=len(payload), resource="", erased=1))
    _, digest, _, job = _BEGINNING.unpack_from(record)
    return record[: _TIME.size] + _WITHOUT_TIME.pack(digest, len(erased), job) + erased + payload


def raw_of(record: bytes) -> bytes:
    """Return the JSON of an event, byte for byte as it was accepted; the record itself if it cannot be read."""
    try:
        head, payload = _parts(record)
        return _json(head, payload, Scope.of_key(head.scope))
    except ValueError:
        return record


def stored_of(ref: str, record: bytes, trace: str | None = None) -> StoredEvent | None:
    """Return the event of a record, or None if it cannot be read.

    Args:
        ref: The event's reference.
        record: Its record.
        trace: The trace of its attempts, if the event itself has none.
    """
    try:
        head, payload = _parts(record)
        scope = Scope.of_key(head.scope)
        raw = _json(head, payload, scope)
        context = TraceContext.of_written(head.trace or trace or "")
        event = stored_event(raw, head.id, scope, context)
        accepted_at, sequence = times_of(record)
        size, erased = len(record), bool(head.erased)
        return StoredEvent(ref, event, accepted_at, head.ingress, head.minor, size, sequence, erased)
    except (ValueError, RecursionError):
        return None


def head_of(start: bytes) -> EventHead:
    """Return the head of a record, of which at least the head is given; raise ValueError if it is none."""
    return _parts(start)[0]


def split(record: bytes) -> tuple[bytes, bytes]:
    """Return a record up to its payload, and the payload; raise ValueError if it is none."""
    _, payload = _parts(record)
    return record[: len(record) - len(payload)], payload


def first_job_of(start: bytes) -> str:
    """Return the first job of an event, given its record or the beginning of it; empty if it has none."""
    if len(start) < _BEGINNING.size:
        return ""
    *_, job = _BEGINNING.unpack_from(start)
    return "" if job == _NO_JOB else job.decode()


def times_of(record: bytes) -> tuple[int, int]:
    """Return the time of acceptance (ms) and the sequence (µs) of a record."""
    (time,) = _TIME.unpack_from(record)
    return int(time), round(time * 1000)


def _json(head: EventHead, payload: bytes, scope: Scope) -> bytes:
    """Return the JSON of an event; raise ValueError if it cannot be read."""
    return decoded(head.codec, payload, head.size, (head.id, scope.org_id, scope.store_id))


def _parts(record: bytes) -> tuple[EventHead, bytes]:
    """Split a record into its head and its payload; raise ValueError if it is none."""
    if len(record) < _BEGINNING.size:
        raise ValueError("a record is longer")
    _, _, length, _ = _BEGINNING.unpack_from(record)
    body = _BEGINNING.size + length
    return _heads.decode(record[_BEGINNING.size : body]), record[body:]
