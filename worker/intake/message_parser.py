"""Parsing of messages of the plain queue: an event, a CloudEvent, or a JSON array of either."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import time
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec
import structlog

from worker.domain.cloudevents import split_batch
from worker.domain.event import Event, NewerVersion, Refusal
from worker.domain.event_parser import ID_MAX_CHARS, EventRules, parse_event
from worker.domain.trace_context import TraceContext
from worker.event_loop.pacing import breathe, paced
from worker.ledger.events.inbox import REJECTED_KEEP_BYTES, rejection

_log = structlog.get_logger("edw.intake")

#: Most events in one message. One call accepts all of them, and keeps Redis busy for at most 12 ms.
BATCH_MAX_EVENTS = 1_000
#: Most bytes of one message. If the deployment's rules allow a larger event, that limit applies.
MESSAGE_MAX_BYTES = 8 * 1024 * 1024

#: The event in one part of a message, or why there is none; and the part itself.
Parsed = tuple[Event | Refusal, Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """An unparsed part of a message.

    `default_id` is for an event that has no id. `refusal` is why the part has no event; None if it may have one.
    """

    raw: bytes
    default_id: str | None = None
    refusal: Refusal | None = None


def parse_message(message: bytes, rules: EventRules, message_id: str | None = None) -> list[Parsed]:
    """Return the events of a message, or why a part is not an event, each with its bytes. An empty array has none.

    Every event names its own store or organisation. An event without an id gets one derived from `message_id`, so that
    it keeps its id if the message is delivered again. Without `message_id` it gets a random id.
    """
    try:
        return [_parsed(part, rules) for part in _parts(message, rules, message_id)]
    except Exception as error:  # noqa: BLE001  (a message that triggers a bug must not be redelivered for ever)
        return _failed(error, message)


async def parse_message_paced(message: bytes, rules: EventRules) -> list[Parsed]:
    """Do what `parse_message` does, in steps between which the running loop runs other tasks."""
    try:
        parts = _parts(message, rules, None)
        if len(parts) > 1:
            await breathe()
        return [_parsed(part, rules) async for part in paced(parts, _size)]
    except Exception as error:  # noqa: BLE001  (as above)
        return _failed(error, message)


def traced(parsed: Sequence[Parsed], trace: TraceContext | None) -> list[Parsed]:
    """Return the parsed parts with the message's trace context in each event that has none of its own."""
    if trace is None:
        return list(parsed)
    return [
        (replace(found, trace=trace) if isinstance(found, Event) and not found.trace else found, given)
        for found, given in parsed
    ]


def is_batch(message: bytes) -> bool:
    """Return whether a message begins as a JSON array does."""
    return message[:64].lstrip()[:1] == b"["


def event_id(name: str, index: int) -> str:
    """Return the id of the event at `index` in a message, if it has none: always the same for a message's name."""
    try:
        namespace = UUID(name)
    except ValueError:
        # A producer may give its messages any name.
        namespace = uuid5(NAMESPACE_OID, name)
    return str(uuid5(namespace, str(index)))


def entry_of(refusal: Refusal, given: Any, source: str) -> str:
    """Return a refusal as an entry of the ledger's rejected list."""
    return rejection(refusal.field, refusal.reason, _as_bytes(given), round(time() * 1000), source)


def log_refusal(refusal: Refusal, source: str) -> None:
    """Log a refusal."""
    _log.warning("event rejected", field=refusal.field, reason=refusal.reason, source=source)


def split(parsed: Sequence[Parsed]) -> tuple[list[Event], list[tuple[Refusal, Any]]]:
    """Return the events, and the refusals with what was refused."""
    events = [found for found, _ in parsed if isinstance(found, Event)]
    return events, [(found, given) for found, given in parsed if isinstance(found, Refusal)]


def needs_newer(refusals: Iterable[tuple[Refusal, Any]]) -> bool:
    """Return whether a message of these refusals needs a newer build. Then nothing of it is accepted or rejected."""
    return any(isinstance(refusal, NewerVersion) for refusal, _ in refusals)


def _parts(message: bytes, rules: EventRules, message_id: str | None) -> list[_Part]:
    most = max(MESSAGE_MAX_BYTES, rules.max_bytes)
    if len(message) > most:
        refusal = Refusal("", f"the message has {len(message):,} bytes, and at most {most:,} are accepted")
        return [_Part(message, refusal=refusal)]
    if not is_batch(message):
        return [_Part(message, message_id and _usable(message_id))]
    parts = split_batch(message, BATCH_MAX_EVENTS)
    if isinstance(parts, Refusal):
        return [_Part(message, refusal=parts)]
    return [_Part(part, event_id(message_id, index) if message_id else None) for index, part in enumerate(parts)]


def _parsed(part: _Part, rules: EventRules) -> Parsed:
    return part.refusal or _event(part.raw, rules, part.default_id), part.raw


def _failed(error: Exception, message: bytes) -> list[Parsed]:
    _log.error("cannot read a message", exc_info=error)
    return [(Refusal("", f"internal error: {type(error).__name__}"), message)]


def _size(part: _Part) -> int:
    return len(part.raw)


def _event(raw: bytes, rules: EventRules, default_id: str | None) -> Event | Refusal:
    if len(raw) > rules.envelope_max_bytes:
        return rules.too_large(raw)
    return parse_event(raw, rules, default_id, cloudevents=True)


def _usable(message_id: str) -> str:
    """Return the id of a message's only event: the message's id if it is a valid one, else one derived from it."""
    return message_id if len(message_id) <= ID_MAX_CHARS and message_id.isprintable() else event_id(message_id, 0)


def _as_bytes(given: Any) -> bytes:
    """Return a received value for people to read: as JSON if possible, else as its repr."""
    if isinstance(given, bytes):
        return given
    try:
        return msgspec.json.encode(given, enc_hook=repr)
    except (ValueError, RecursionError):
        # For example half of a surrogate pair.
        return repr(given)[:REJECTED_KEEP_BYTES].encode(errors="backslashreplace")
