"""The bytes of the attacks: requests by HTTP, and messages for Redis."""

import base64
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import count
from random import randrange
from uuid import uuid4

import msgspec

from config.celery import EVENTS_QUEUE, OBSERVE_TASK
from tests.benchmarks.order import OBSERVABLE_KEY
from worker.api import event_documents
from worker.api.handlers import integration_handlers
from worker.domain.api_token import make_secret, new_id, written

EVENTS, INTEGRATIONS = event_documents.PATH, integration_handlers.PATH
#: A header line that aiohttp still takes, and as many of them as a head may have.
_LINE = 8_000
_LINES = 7
_OPEN = b'{"type":"order.paid","data":{"a":'
#: An unclosed string whose every quote is escaped, in brackets.
UNCLOSED = _OPEN + b"[" * 101 + b'"' + b'\\"' * 48_000
#: 7 MB of empty arrays.
BRACKETS = b"[" + b"[]," * (7_000_000 // 3) + b"[]]"
_numbers = count()


def request(
    method: str, path: str, token: str = "", *headers: tuple[str, str], body: bytes = b"", host: str = "api.example"
) -> bytes:
    """A request after which the server closes the connection. Without `token` there is none."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"{name}: {value}" for name, value in headers]
    if body and not any(name == "Content-Type" for name, _ in headers):
        lines.append("Content-Type: application/json")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def wrapped(data: bytes) -> bytes:
    """The body of a publish."""
    return b'{"data":' + data + b"}"


def order(store_id: str) -> bytes:
    """A small event that a worker delivers."""
    event = {"id": f"attack-{uuid4()}", "type": OBSERVABLE_KEY, "store_id": store_id, "data": {"type": "order"}}
    return msgspec.json.encode(event)


def integration(**more: object) -> bytes:
    """The body that creates an integration; each has a name of its own."""
    attributes = {
        "type": "integration",
        "name": f"crowd {next(_numbers)}",
        "integration_type": "webhook",
        "observes": [OBSERVABLE_KEY],
        "configuration": {"url": "https://receiver.example/"},
        **more,
    }
    return msgspec.json.encode({"data": attributes})


def long_etags() -> Sequence[tuple[str, str]]:
    """If-None-Match, as long as a head may be: blanks between two characters, quotes, commas."""
    worst = ("a" + " " * _LINE + "b", '"' * _LINE, ", " * (_LINE // 2) + "x", '"a",' * (_LINE // 4) + "x")
    return [("If-None-Match", (worst * 2)[number]) for number in range(_LINES)]


def long_cloudevent(value: str, lines: int) -> Sequence[tuple[str, str]]:
    """The headers of a CloudEvent in binary mode, with so many extensions of one value."""
    needed = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/"), ("ce-type", OBSERVABLE_KEY)]
    return [*needed, *((f"ce-x{number}", value) for number in range(lines))]


def cloudevents() -> Sequence[Sequence[tuple[str, str]]]:
    """Unclosed quoted strings and percent signs: few that are long, and 120 that are short."""
    return [
        long_cloudevent('"' + '\\"' * (_LINE // 2), _LINES),
        long_cloudevent("%41%" * (_LINE // 4), _LINES),
        long_cloudevent('"' + '\\"' * 200, 120),
    ]


def content_types() -> Sequence[str]:
    """Parameters without end, in their worst forms."""
    return ["application/json" + each * (_LINE // len(each)) for each in (";a=b", '; a="\\"', ";", "; charset*0=")]


def forwarded() -> Sequence[tuple[str, str]]:
    """X-Forwarded-For, as long as a head may be: the proxy itself, many times."""
    return [("X-Forwarded-For", "127.0.0.1," * (_LINE // 10) + "127.0.0.1")] * _LINES


def bad_token() -> str:
    """A token of the right form that nobody has."""
    return written(new_id(), make_secret())


def numbers() -> Sequence[bytes]:
    """Bodies of an integration with numbers that nothing can hold."""
    plain = integration(rate_limit=77)
    return [plain.replace(b"77", each) for each in (b"1e999", b"-1e999", b"9" * 200_000, b"9" * 200_000 + b".5")]


@cache
def bomb() -> bytes:
    """4 MB of gzip that inflate to 4 GiB of zeros. What follows a full flush depends on nothing before it."""
    packer = zlib.compressobj(9, wbits=-15)
    zeros = bytes(1 << 24)
    piece = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return head + piece * 256 + packer.flush() + bytes(8)


def celery_message(body: bytes) -> bytes:
    """A message for the queue of events, as kombu puts it on a list of Redis; `body` may be no JSON."""
    task_id = str(uuid4())
    properties = {
        "correlation_id": task_id,
        "delivery_mode": 2,
        "delivery_info": {"exchange": EVENTS_QUEUE, "routing_key": EVENTS_QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
    }
    return msgspec.json.encode(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": OBSERVE_TASK, "id": task_id, "root_id": task_id},
            "properties": properties,
        }
    )


def celery_bodies() -> Sequence[bytes]:
    """An unclosed string as the message, as an event's text, and inside of an event that is JSON."""
    text = msgspec.json.encode({"events": [UNCLOSED.decode()]})
    inside = msgspec.json.encode(
        {"events": [{"type": OBSERVABLE_KEY, "data": {"a": '"' + '\\"' * 48_000}, "id": UNCLOSED.decode()}]}
    )
    return [UNCLOSED, b"[[]," + text + b",{}]", b"[[]," + inside + b",{}]"]


def random_group() -> str:
    """A group of an IPv6 address."""
    return f"{randrange(1 << 16):x}"
