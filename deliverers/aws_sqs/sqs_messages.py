"""A delivery as an SQS message: its content, its size, and what a FIFO queue needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import msgspec

from deliverers.contract import Delivery
from deliverers.envelopes import CLOUDEVENT_TYPE, can_be_elided, cloudevent_body

#: Named as in CloudEvents' bindings for brokers (Kafka binding 1.0.2, section 3.2.1), because SQS has no binding.
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {"content-type": {"DataType": "String", "StringValue": CLOUDEVENT_TYPE}}

# "MessageGroupId" and "MessageDeduplicationId" of SendMessage: alphanumeric characters and punctuation.
_FIFO_TOKEN = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
# Characters that JSON may hold unescaped but SendMessage refuses ("Message Body": #xFFFD is the last below #x10000).
_REFUSED_CHARACTERS = MappingProxyType({0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"})


@dataclass(frozen=True, slots=True)
class Message:
    """An SQS message. `size` is in bytes, attributes included, as SQS counts it."""

    body: str
    size: int
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: ATTRIBUTES)
    group_id: str | None = None
    deduplication_id: str | None = None

    def entry(self, number: int) -> dict[str, Any]:
        """Return the message as an entry of a SendMessageBatch."""
        entry: dict[str, Any] = {"Id": str(number), "MessageBody": self.body, "MessageAttributes": self.attributes}
        if self.group_id is not None:
            entry |= {"MessageGroupId": self.group_id, "MessageDeduplicationId": self.deduplication_id}
        return entry


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The result for a delivery whose message does not fit. `size` and `limit` are in bytes, attributes included."""

    size: int
    limit: int
    elided: bool

    @property
    def reason(self) -> str:
        """Return the reason for a log."""
        without = " even without what the event includes" if self.elided else ""
        return f"message of {self.size:,} bytes is over the limit of {self.limit:,} bytes{without}"


class _Identified(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()


_identified = msgspec.json.Decoder(_Identified)
_number = re.compile(rb"-?[0-9].*")


def message_of(delivery: Delivery, limit: int, is_fifo: bool) -> Message | TooLarge:
    """Build the message of a delivery; it is sent without its `included` if it would exceed `limit` bytes."""
    attributes = _attributes(delivery)
    beside = attributes_size(attributes)
    body = _text(cloudevent_body(delivery))
    size = _size(body) + beside
    if elided := size > limit and can_be_elided(delivery):
        body = _text(cloudevent_body(delivery, elide=True))
        size = _size(body) + beside
    if size > limit:
        return TooLarge(size, limit, elided)
    if not is_fifo:
        return Message(body, size, attributes)
    return Message(body, size, attributes, group_id(delivery), fifo_token(f"{delivery.job_id}:{delivery.epoch}"))


def attributes_size(attributes: Mapping[str, Mapping[str, str]]) -> int:
    """Return the bytes of a message besides its body: attributes count with names and types. All of ours are ASCII."""
    return sum(len(name) + len(value["DataType"]) + len(value["StringValue"]) for name, value in attributes.items())


def group_id(delivery: Delivery) -> str:
    """Return the group for a FIFO queue: the resource's id, or else the event's."""
    try:
        raw = bytes(_identified.decode(delivery.data).id)
        found = msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else ""
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raw, found = b"", ""
    if _number.fullmatch(raw):
        found = raw.decode()
    return fifo_token(found or delivery.event_id)


def fifo_token(text: str) -> str:
    """Return the text if SQS takes it as a group or deduplication id, or else its SHA-256, which is as distinct."""
    if _FIFO_TOKEN.fullmatch(text):
        return text
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _attributes(delivery: Delivery) -> Mapping[str, Mapping[str, str]]:
    if not delivery.trace:
        return ATTRIBUTES
    traced = {name: {"DataType": "String", "StringValue": value} for name, value in delivery.trace.items()}
    return {**traced, **ATTRIBUTES}


def _text(body: bytes) -> str:
    text = body.decode()
    if "\ufffe" in text or "\uffff" in text:
        # They can only be inside a JSON string, where an escape means the same.
        return text.translate(_REFUSED_CHARACTERS)
    return text


def _size(body: str) -> int:
    return len(body) if body.isascii() else len(body.encode())
