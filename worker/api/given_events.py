"""The event, or the batch of events, that a request brings: as our own JSON, or as CloudEvents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from deliverers.quick_values import quickly_made
from worker.api.api_errors import invalid
from worker.api.request_context import JSON_TYPES, RequestContext, decoded
from worker.api.schemas import EVENTS_MOST
from worker.domain.cloudevents import (
    attributes_of_headers,
    begins_as_wrapped_batch,
    event_of_binary,
    event_of_structured,
    is_json,
    split_batch,
    split_wrapped_batch,
)
from worker.domain.event import Refusal
from worker.event_loop.pacing import breathe

CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
TYPES = (*JSON_TYPES, CLOUDEVENT, CLOUDEVENTS)

_SPECVERSION = "ce-specversion"


class _Wrapped(msgspec.Struct):
    data: msgspec.Raw | UnsetType = UNSET
    type: msgspec.Raw | UnsetType = UNSET


@quickly_made
@dataclass(frozen=True, slots=True)
class GivenEvents:
    """The event or batch of a request; `under` is the JSON pointer to it in the body."""

    items: Sequence[bytes]
    is_batch: bool
    under: str
    #: Converts an item, which is a CloudEvent, into the JSON of our own events; None where an item may be either.
    convert: Callable[[bytes], bytes | Refusal] | None = None

    def place(self, index: int) -> str:
        """Return the JSON pointer to an item."""
        return f"{self.under}/{index}" if self.is_batch else self.under


async def given_events(call: RequestContext) -> GivenEvents:
    """Read what a request brings, and split a batch. Raises ApiError (400, 408, 413, 415, 422)."""
    binary = _SPECVERSION in call.request.headers
    raw = await call.raw(TYPES, also=is_json if binary else lambda _: False)
    match call.request.content_type:
        case "application/cloudevents+json":
            return GivenEvents([raw], is_batch=False, under="", convert=event_of_structured)
        case "application/cloudevents-batch+json":
            batch = split_batch(raw, EVENTS_MOST)
            if isinstance(batch, Refusal):
                raise invalid([batch], under="")
            await breathe()
            return _batch(batch, "", event_of_structured)
    if binary:
        return GivenEvents([raw], is_batch=False, under="", convert=partial(_of_binary, call))
    return await _wrapped(raw)


def _of_binary(call: RequestContext, body: bytes) -> bytes | Refusal:
    attributes = attributes_of_headers(call.request.headers.items())
    return attributes if isinstance(attributes, Refusal) else event_of_binary(attributes, body)


async def _wrapped(raw: bytes) -> GivenEvents:
    if begins_as_wrapped_batch(raw):
        items = split_wrapped_batch(raw, EVENTS_MOST)
        # Let other tasks run between two looks at a body.
        await breathe()
        if items:
            return _batch(items, "/data")
    try:
        wrapped = decoded(raw, _Wrapped)
    except msgspec.ValidationError:
        raise invalid([Refusal("", 'expected an object: {"data": {…}} or {"data": [ … ]}')], under="") from None
    if isinstance(wrapped.data, UnsetType):
        hint = '; wrap the event: {"data": {"type": …, "payload": …}}' if b'"payload"' in raw else ""
        raise invalid([Refusal("data", f"is required: an event, or a list of events{hint}")], under="")
    data = bytes(wrapped.data)
    if not isinstance(wrapped.type, UnsetType):
        hint = 'wrap the event: {"data": {"type": …, "data": …}}'
        raise invalid([Refusal("type", f"is beside `data`, but belongs inside it: {hint}")], under="")
    if not data.startswith(b"["):
        return GivenEvents([data], is_batch=False, under="/data")
    await breathe()
    batch = split_batch(data, EVENTS_MOST)
    if isinstance(batch, Refusal):
        raise invalid([batch])
    await breathe()
    return _batch(batch, "/data")


def _batch(
    items: Sequence[bytes], under: str, convert: Callable[[bytes], bytes | Refusal] | None = None
) -> GivenEvents:
    if not items:
        raise invalid([Refusal("", "expected at least one event")], under)
    return GivenEvents(items, is_batch=True, under=under, convert=convert)
