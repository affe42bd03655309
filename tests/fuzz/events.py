"""What producers send: events, CloudEvents, batches and messages of queues."""

import json
from typing import Any

import msgspec

from config.observable_events import load_catalogue
from deliverers.aws_sqs.sqs_messages import Message, TooLarge, message_of
from deliverers.contract import Delivery, IntegrationRef
from deliverers.envelopes import webhook_body
from deliverers.webhook import WebhookConfiguration
from tests.fuzz.target import Target, is_brief, text_of
from worker.domain.cloudevents import (
    attributes_of_headers,
    attributes_of_properties,
    event_of_binary,
    event_of_structured,
    is_cloudevent,
    split_batch,
    split_wrapped_batch,
)
from worker.domain.event import Event, Refusal, Scope
from worker.domain.event_parser import NESTING_MAX, EventRules, parse_event, stored_event
from worker.domain.nesting import nesting
from worker.domain.trace_context import TraceContext
from worker.intake.message_parser import entry_of, parse_message

RULES = EventRules(load_catalogue(), max_bytes=1_500)
SCOPE = Scope("o", "s")
MOST = 4
_CONFIGURATION = WebhookConfiguration(url="https://shop.example/")

_JSON = (
    *(b'{ } [ ] : , " \\ \\" \\\\ \\u00e9 \\ud800 \\n null true false 0 -0 1e999 -1 10.00 01 NaN'.split()),
    *(b"[" * 60, b"]" * 60, b'{"a":' * 60, b"}" * 60, b'"' + b'\\"' * 40, b"9" * 400, b" ", b"\t", b"\n", b"\0"),
    *(b"\xff", b"\xc3", "é".encode(), b"\xef\xbb\xbf", b"\xed\xa0\x80", "😀".encode(), b"1e-999", b"2" * 129),
)
_NAMES = tuple(
    b'"%s":' % name
    for name in b"type data id time source included store_id org_id traceparent tracestate specversion storeid orgid "
    b"data_base64 datacontenttype".split()
)
_VALUES = (
    *(
        b'"order.paid"',
        b'"order.pxid"',
        b'"product.deleted"',
        b'"2026-11-23T20:41:00Z"',
        b'"9999-12-31T23:59:60+99:99"',
    ),
    *(b'"1.0"', b'"application/json"', b'"text/plain"', b'"e30="', b'"' + b"-" * 300 + b'"', b'{"type":"order"}'),
    b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"',
)
WORDS = (*_JSON, *_NAMES, *_VALUES)
EVENT = b'{"type":"order.paid","store_id":"s","org_id":"o","data":{"id":"1","total":10.00,"a":[1,"\\u00e9"]}}'
FULL = (
    b'{"id":"e-1","type":"product.deleted","time":"2026-11-23T20:41:00Z","source":"https://a.example","included":'
    b'[{"id":1}],"data":{"id":1},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'
)
CLOUDEVENT = (
    b'{"specversion":"1.0","id":"1","source":"/","type":"order.paid","storeid":"s","data":{"id":"1"},"time":null}'
)
BASE64 = b'{"specversion":"1.0","id":"1","source":"/","type":"order.paid","data_base64":"eyJpZCI6IjEifQ=="}'


def event(raw: bytes) -> None:
    """An event is accepted or refused; what is accepted is kept as it is, and can be stored, read and delivered."""
    found = parse_event(raw, RULES, "default", SCOPE)
    if isinstance(found, Refusal):
        return is_brief(f"{found} {found.pointer}")
    assert found.raw == raw
    assert json.loads(found.data) is not None
    assert found.raw.decode()
    assert (found.ref, found.digest) == (found.ref, found.digest)
    again = stored_event(raw, found.id, found.scope, found.trace)
    assert again == found
    return _can_be_delivered(found)


def _can_be_delivered(found: Event) -> None:
    integration = IntegrationRef("i", "webhook", "n", "d")
    time = found.time or "2026-11-23T20:41:00Z"
    delivery = Delivery(
        *("j", 1, 0, found.id, found.type, found.data, found.included, found.scope.store_id, found.scope.org_id),
        *(time, found.source, integration, _CONFIGURATION),
    )
    assert json.loads(webhook_body(delivery))["id"] == found.id
    match message_of(delivery, 4_096, is_fifo=True):
        case Message() as message:
            assert json.loads(message.body)["id"] == found.id
            assert message.group_id
            assert len(message.group_id) <= 128
        case TooLarge() as large:
            assert large.size > large.limit


def mapping(raw: bytes) -> None:
    """A mapping, such as Celery decodes, is an event like its JSON, or refused."""
    try:
        given: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return
    found = parse_event(given, RULES)
    if isinstance(found, Refusal):
        is_brief(str(found))
    else:
        assert json.loads(found.raw) == json.loads(msgspec.json.encode(given))


def message(raw: bytes) -> None:
    """A message of the plain queue has events or refusals, no internal error, and each refusal can be kept."""
    for found, given in parse_message(raw, RULES, "m-1"):
        if isinstance(found, Refusal):
            assert not found.reason.startswith("internal error"), found
            is_brief(str(found))
            assert json.loads(entry_of(found, given, "queue"))["reason"] == found.reason
        else:
            assert found.id


def structured(raw: bytes) -> None:
    """A CloudEvent becomes JSON that our parser judges, or is refused."""
    found = event_of_structured(raw) if is_cloudevent(raw) else raw
    if isinstance(found, Refusal):
        is_brief(f"{found} {found.pointer}")
    else:
        judged = parse_event(found, RULES)
        assert isinstance(judged, Event | Refusal)


def binary(raw: bytes) -> None:
    """Headers and a body become JSON, or are refused."""
    head, _, body = raw.partition(b"\n\n")
    headers = [(name, value) for name, _, value in (line.partition(":") for line in text_of(head).split("\n"))]
    attributes = attributes_of_headers(headers)
    if isinstance(attributes, Refusal):
        return is_brief(str(attributes))
    found = event_of_binary(attributes, body)
    if isinstance(found, Refusal):
        return is_brief(str(found))
    assert json.loads(found)["type"] == attributes["type"]
    return None


def properties(raw: bytes) -> None:
    """AMQP's properties become attributes, or are those of no CloudEvent."""
    head, _, body = raw.partition(b"\n\n")
    values: list[object] = [text_of(head), head, len(head), True, None, {"a": head}]
    names = ("specversion", "id", "source", "type", "traceparent", "x")
    headers = {f"cloudEvents:{name}": value for name, value in zip(names, values, strict=True)}
    for given in (headers, headers | {"cloudEvents:specversion": "1.0", "cloudEvents:id": text_of(head)}):
        attributes = attributes_of_properties(given, text_of(body[:20]) or None)
        if attributes is not None:
            found = event_of_binary(attributes, body)
            assert not isinstance(found, Refusal) or len(str(found)) < 2_000


def batch(raw: bytes) -> None:
    """A batch is split into what it holds, or refused; never more than its limit."""
    found = split_batch(raw, MOST)
    wrapped = split_wrapped_batch(b'{"data":' + raw + b"}", MOST)
    if isinstance(found, Refusal):
        return is_brief(str(found))
    assert len(found) <= MOST
    assert wrapped in (found, None)
    assert split_batch(b"[" + b",".join(found) + b"]", MOST) == found
    return None


def depth(raw: bytes) -> None:
    """What is not deeper than the limit can be decoded without running out of stack."""
    if nesting(raw, NESTING_MAX) <= NESTING_MAX:
        try:
            msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return


def trace(raw: bytes) -> None:
    """A trace context is read or ignored, and what was read is read again as the same."""
    parent, _, state = text_of(raw).partition("\n")
    found = TraceContext.of(parent, state)
    if found is not None:
        assert TraceContext.of(found.traceparent, found.tracestate) == found
        assert TraceContext.of_written(found.written) == found
        assert len(found.written) <= 600
        assert int(found.trace_id, 16) > 0 < int(found.span_id, 16)


def scope(raw: bytes) -> None:
    """The key of a scope names it, whatever its ids are."""
    org, _, store = raw.decode("utf-8", "replace").partition("\n")
    given = Scope(org or None, store or None)
    assert Scope.of_key(given.key) == given


_HEADERS = (b"ce-specversion: 1.0\nce-id: 1\nce-source: /\nce-type: order.paid\n\n{}", b'ce-id: "a\\"b" "\nce-x: "\n\n')
_HEADER_WORDS = (
    b"ce-",
    b"\n",
    b"\n\n",
    b": ",
    b'"',
    b'\\"',
    b"%",
    b"%41",
    b"%ff",
    b"content-type:",
    b"specversion:1.0",
)
_TRACES = (
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\na=b,c@d=e f",
    b"cc-" + b"0" * 32 + b"-" + b"1" * 16,
)
_TRACE_WORDS = (b"-", b"0" * 31, b"f", b"ff-", b",", b"=", b" ", b"\t", b"a@b", b"\n", b"-x", b"0" * 300, b"a=1," * 40)

TARGETS = (
    Target("event", event, WORDS, (EVENT, FULL)),
    Target("mapping", mapping, (*WORDS, b"Infinity", b"NaN"), (EVENT, FULL)),
    Target("message", message, WORDS, (EVENT, b"[" + EVENT + b"," + CLOUDEVENT + b"]", CLOUDEVENT, BASE64)),
    Target("cloudevent", structured, WORDS, (CLOUDEVENT, BASE64)),
    Target("cloudevent-headers", binary, (*_HEADER_WORDS, *_JSON), _HEADERS),
    Target("cloudevent-properties", properties, (*_HEADER_WORDS, *_JSON), _HEADERS),
    Target("batch", batch, WORDS, (b"[1,2]", b'[{"a":"]"},"[",[[]]]', b"[" + EVENT + b"]")),
    Target("nesting", depth, _JSON, (EVENT, b"[" * 100 + b"]" * 100, b'["' + b'\\"' * 50 + b'"]')),
    Target("trace", trace, _TRACE_WORDS, _TRACES),
    Target(
        "scope", scope, (b"/", b"%", b"%2F", b"\n", b"\0", b":", b"\xff", b"a", "é".encode()), (b"o\ns", b"/%2f\n%")
    ),
)
