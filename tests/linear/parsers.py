"""Every parser of foreign bytes, and the inputs of so many bytes that make it work most."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from multidict import CIMultiDict

from config.observable_events import load_catalogue
from config.text_escaping import visible
from config.units import networks
from deliverers.answers import decompressed, kept_text, printable
from deliverers.aws_sqs.aws_errors import scrubbed
from deliverers.aws_sqs.sqs_answers import Log, SqsAnswer, outcomes
from deliverers.registry import ConfigurationError, DelivererRegistry
from deliverers.retry_after import parse_retry_after
from deliverers.stomp.frames import FrameReader, NotStomp
from deliverers.stomp.stomp_session import HeartBeats
from deliverers.urls import checked_url
from worker.api.api_errors import ApiError
from worker.api.etags import names
from worker.api.filters import milliseconds, parse_filter
from worker.api.handlers.log_handlers import FIELDS
from worker.api.paging import LIMIT, Paging
from worker.api.request_context import decoded
from worker.api.services.access import address_of, basic_pair
from worker.domain.api_token import read
from worker.domain.cloudevents import (
    attributes_of_headers,
    begins_as_wrapped_batch,
    event_of_binary,
    event_of_structured,
    is_cloudevent,
    split_batch,
    split_wrapped_batch,
)
from worker.domain.event import Scope
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.humanize import one_line
from worker.domain.integration_input import register
from worker.domain.masking import looks_masked, mask, unmasked
from worker.domain.nesting import nesting
from worker.domain.trace_context import TraceContext
from worker.intake.message_parser import parse_message
from worker.integrations.redelivery import Place

_MIB = 1 << 20
_RULES = EventRules(load_catalogue(), max_bytes=4 * _MIB)
_REGISTRY = DelivererRegistry.load()
_PROXIES = networks("10.0.0.0/8")
_NOW = datetime(2026, 11, 28, tzinfo=UTC)
_GOOD = {"name": "a", "observes": ["order.paid"], "configuration": {"url": "https://a.example/"}}
_EXPECTED = (ApiError, ConfigurationError, NotStomp, ValueError)


@dataclass(frozen=True, slots=True)
class Parser:
    """What is done with an input, and the input."""

    name: str
    run: Callable[[Any], object]
    worst: Callable[[int], Any]


def _parser(name: str, run: Callable[[Any], object], head: Any, pump: Any, tail: Any) -> Parser:
    """The first piece once, the second as often as it takes, the third once."""
    return Parser(name, _judged(run), lambda size: head + pump * (size // len(pump)) + tail)


def _judged(run: Callable[[Any], object]) -> Callable[[Any], object]:
    def judged(given: Any) -> object:
        try:
            return run(given)
        except _EXPECTED as error:
            return error

    return judged


def _names(size: int) -> dict[str, object]:
    """An integration with as many names as so many bytes of JSON can hold."""
    return {**_GOOD, **dict.fromkeys(map(str, range(size // 10)), 1)}


def _event(raw: bytes) -> object:
    return parse_event(raw, _RULES)


def _stomp(raw: bytes) -> object:
    return list(FrameReader(4 * _MIB).feed(raw))


def _sqs(body: bytes) -> object:
    return outcomes(SqsAnswer(400, {}, body), 3, Log(1_000, (b"secret",)), _NOW)


def _sqs_header(text: str) -> object:
    headers = {"x-amzn-query-error": text, "x-amzn-errortype": text, "retry-after": text}
    return outcomes(SqsAnswer(400, headers, b""), 1, Log(1_000), _NOW)


def _body(coding: str) -> Callable[[bytes], object]:
    return lambda raw: decompressed(raw, coding, 64 * 1024)


def _forwarded(text: str) -> object:
    request = SimpleNamespace(remote="10.0.0.1", headers=CIMultiDict({"X-Forwarded-For": text}))
    return address_of(cast("Any", request), _PROXIES)


def _integration(**changes: Any) -> object:
    return _registered({**_GOOD, **changes})


def _registered(document: Mapping[str, Any]) -> object:
    return register(document, Scope(None, "s"), _REGISTRY, _RULES.catalogue)


_OPEN = b'{"type":"order.paid","data":{"a":'
_STRUCTURED = b'{"specversion":"1.0","id":"1","source":"/","type":"order.paid","data"'

PARSERS = (
    _parser("event: a string without an end", _event, _OPEN + b"[" * 101 + b'"', b'\\"', b""),
    _parser("event: backslashes", _event, _OPEN + b"[" * 101 + b'"', b"\\", b""),
    _parser("event: strings", _event, _OPEN + b"[" * 99, b'"",', b""),
    _parser("event: brackets", _event, _OPEN + b"[", b"[],", b"1]}}"),
    _parser("event: opening brackets", _event, _OPEN, b"[", b""),
    _parser("event: closing brackets", _event, _OPEN + b"{" * 101, b"]", b""),
    _parser("event: names", _event, b"{", b'"type":"order.paid",', b'"data":{}}'),
    _parser("event: a type", _event, b'{"data":{},"type":"', b"order.paid", b'"}'),
    _parser("event: an id", _event, b'{"data":{},"type":"order.paid","id":"', b"\\u00e9", b'"}'),
    _parser("event: a time", _event, b'{"data":{},"type":"order.paid","time":"', b"9", b'"}'),
    _parser("event: a trace", _event, b'{"data":{},"type":"order.paid","traceparent":"00-', b"0-", b'"}'),
    _parser("nesting", lambda raw: nesting(raw, 0), b"[", b'"[\\"', b""),
    _parser("message: a batch", lambda raw: parse_message(raw, _RULES), b"[", b"[],", b"1]"),
    _parser("message: one event", lambda raw: parse_message(raw, _RULES), b'[{"a":[', b"1,", b"1]}]"),
    _parser("batch: a string without an end", lambda raw: split_batch(raw, 1_000), b'["', b'\\"', b""),
    _parser("batch: elements", lambda raw: split_batch(raw, 1_000), b"[", b"[],", b"1]"),
    _parser("wrapped batch: elements", lambda raw: split_wrapped_batch(raw, 1_000), b'{"data":[', b"[],", b"1]}"),
    _parser("wrapped batch: blanks", begins_as_wrapped_batch, b"{", b" ", b"1"),
    _parser("batch: one element", lambda raw: split_batch(raw, 1_000), b"[[", b"[],", b"1]]"),
    _parser("cloudevent: data", event_of_structured, _STRUCTURED + b":[", b"[],", b"1]}"),
    _parser("cloudevent: Base64", event_of_structured, _STRUCTURED + b'_base64":"', b"ICAg", b'"}'),
    _parser("cloudevent: names", event_of_structured, b"{", b'"specversion":"1.0",', b'"a":1}'),
    _parser("cloudevent: a type", event_of_structured, _STRUCTURED + b':{},"type":"', b"\\u00e9", b'"}'),
    _parser("is it a cloudevent", is_cloudevent, b'{"specversion', b'specversion":1,"', b""),
    _parser("header: escaped quotes", lambda text: attributes_of_headers([("ce-id", text)]), '"', '\\"', ""),
    _parser("header: quotes", lambda text: attributes_of_headers([("ce-id", text)]), "", '"a" ', '"'),
    _parser("header: percent signs", lambda text: attributes_of_headers([("ce-id", text)]), "", "%41%", ""),
    _parser("header: many", attributes_of_headers, [("ce-id", "%41")], [("ce-xa", '"\\"')] * 10, []),
    _parser("header: version", lambda text: event_of_binary({"specversion": text, "id": "1"}, b"{}"), "", "1.0", ""),
    _parser("etags: blanks", lambda text: names(text, 7), "a", " ", "b"),
    _parser("etags: blanks after a tag", lambda text: names(text, 7), '"a"', " ", "b"),
    _parser("etags: quotes", lambda text: names(text, 7), "", '"', ""),
    _parser("etags: tags", lambda text: names(text, 7), "", '"a",', "x"),
    _parser("etags: commas", lambda text: names(text, 7), "", ", ", "x"),
    _parser("filter: a name", lambda text: parse_filter(text, FIELDS), "eq(", "a", ",1)"),
    _parser("filter: a value", lambda text: parse_filter(text, FIELDS), "eq(attempt,", "1", ")"),
    _parser("filter: no end", lambda text: parse_filter(text, FIELDS), "eq(attempt,", " ", ""),
    _parser("filter: conditions", lambda text: parse_filter(text, FIELDS), "", "eq(attempt,1):", ""),
    _parser("paging", lambda text: Paging.of({LIMIT: text}), "", "1", ""),
    _parser("time", milliseconds, "2026-11-24T00:00:00.", "0", "Z"),
    _parser("cursor", Place.read, "jobs-", "1", "-"),
    _parser("body", decoded, b'{"data":[', b'{"a":[1e3,"\\n"]},', b"1]}"),
    _parser("body: a number", decoded, b'{"data":{"rate_limit":', b"9", b"}}"),
    _parser("body: a number beside others", decoded, b'{"data":{"a":[', b"1,", b"1e999]}}"),
    _parser("body: names and a number", decoded, b'{"data":{', b'"a":1,', b'"b":1e999}}'),
    _parser("credentials: Basic", basic_pair, "", "YTpi", "="),
    _parser("credentials: a token", read, "edw_0123456789abcdef_", "a", ""),
    _parser("forwarded addresses", _forwarded, "", "10.0.0.1,", "10.0.0.1"),
    _parser("forwarded: one address", _forwarded, "[", "10.0.0.1:", "]"),
    _parser("mask", mask, "", "*", "word"),
    _parser("looks masked", looks_masked, "", "*", "words"),
    _parser("unmasked", lambda text: unmasked(text, text), "", "*", "word"),
    _parser("integration: a name", lambda text: _integration(**{text: 1}), "n", "am", ""),
    Parser("integration: names", _judged(_registered), _names),
    _parser("integration: type", lambda text: _integration(integration_type=text), "", "web", ""),
    _parser("integration: keys", lambda keys: _integration(observes=keys), ["order.pxid"], ["order.pxie"], []),
    _parser("integration: a key", lambda key: _integration(observes=[key]), "", "order.", ""),
    _parser("integration: configuration", lambda key: _integration(configuration={key: 1}), "", "url", ""),
    _parser(
        "integration: addresses",
        lambda found: _integration(integration_type="stomp", configuration={"destination": "/q", "addresses": found}),
        *([], ["stomp://a.example"], []),
    ),
    _parser("URL", lambda text: checked_url(text, ("https",)), "https://", "a.", ""),
    _parser("trace: parent", TraceContext.of, "00-" + "1" * 32 + "-" + "1" * 16 + "-00-", "a", ""),
    _parser(
        "trace: state", lambda text: TraceContext.of("00-" + "1" * 32 + "-" + "1" * 16 + "-00", text), "", "a=1,", ""
    ),
    _parser("Retry-After: digits", lambda text: parse_retry_after(text, _NOW), "", "9", ""),
    _parser("Retry-After: a date", lambda text: parse_retry_after(text, _NOW), "Sun, ", "(", ""),
    _parser("SQS: XML", _sqs, b"", b"<Code>a", b""),
    _parser("SQS: entities", _sqs, b"<Code>", b"&#1", b"</Code>"),
    _parser("SQS: JSON", _sqs, b'{"message":"', b"Credential=a perform ", b'"}'),
    _parser("SQS: no JSON", _sqs, b"", b"[", b""),
    _parser("SQS: headers", _sqs_header, "", "AKIA Credential=", ""),
    _parser("SQS: scrubbed", scrubbed, "", "Credential AKIAAAAAAA ", ""),
    _parser("answer: text", lambda raw: kept_text(raw, 4 * _MIB, (b"aab",)), b"", b"aa\x1b\xff", b""),
    _parser("answer: one line", printable, "", "\x1b", ""),
    _parser("answer: deflate", _body("deflate"), b"", b"\x00", b""),
    _parser("answer: gzip", _body("gzip"), b"\x1f\x8b\x08", b"\x00", b""),
    _parser("answer: coding", lambda text: decompressed(b"a", text, 10), "", " gzip", ""),
    _parser("STOMP: a header", _stomp, b"ERROR\n", b"a\\", b":b\n\n\0"),
    _parser("STOMP: headers", _stomp, b"ERROR\n", b"a:b\n", b"\n\0"),
    _parser("STOMP: no end of headers", _stomp, b"ERROR\n", b"\r\n\r", b"\0"),
    _parser("STOMP: a body", _stomp, b"ERROR\n\n", b"\n", b"\0"),
    _parser("STOMP: frames", _stomp, b"", b"RECEIPT\nreceipt-id:1\n\n\0", b""),
    _parser("STOMP: receipts", FrameReader().receipts, b"", b"RECEIPT\nreceipt-id:1\n\n\0", b""),
    _parser("STOMP: other frames", _stomp, b"", b"ERROR\n\n\0", b""),
    _parser("STOMP: heart-beats", _stomp, b"", b"\n", b""),
    _parser("STOMP: intervals", HeartBeats.agreed, "", "9", ",9"),
    _parser("words: text", visible, "", "a\u202e", ""),
    _parser("words: one line", lambda text: one_line(text, 80), "", " \n", "a"),
)
