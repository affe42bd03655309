"""The spans of a process by OpenTelemetry's own SDK, as its exporter gets them."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from opentelemetry.trace import SpanKind

from deliverers.aws_sqs.sqs_configuration import AwsSqsConfiguration
from deliverers.contract import Delivered, Gone, Refused
from deliverers.stomp.stomp_configuration import StompConfiguration
from deliverers.webhook import WebhookConfiguration
from worker.domain.attempt import Attempt, InterruptedAttempt, LostAttempt
from worker.domain.claim import Claim
from worker.domain.delivery_target import DeliveryTarget, NoTarget
from worker.domain.event import Event, Scope
from worker.domain.retry_policy import Fail, Retry, Succeed
from worker.domain.stored_event import StoredEvent
from worker.domain.trace_context import TraceContext
from worker.ledger import Acceptance, LedgerUnavailable
from worker.telemetry.tracing import publishing, traces_of_process
from worker.telemetry.tracing.otlp_export import SpanIds
from worker.telemetry.tracing.span_contexts import context_of
from worker.telemetry.tracing.span_ids import span_id_of
from worker.telemetry.tracing.spans import Spans

_PACKAGE = "worker.telemetry.tracing"
#: Modules that import OpenTelemetry.
UNASKED = (
    "opentelemetry.exporter",
    *(f"{_PACKAGE}.{name}" for name in ("attempt_spans", "otlp_export", "span_contexts", "span_ids", "spans")),
)
CONTEXT = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "shop=1")
EVENT = Event("e-1", "order.paid", Scope("org-1", "store-1"), b'{"card":"4111-1111"}', b"{}", None, None, None)
TRACED = replace(EVENT, trace=CONTEXT)


class Delivering:
    """A process that traces."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(id_generator=SpanIds(), sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.spans = Spans(provider.get_tracer("test"))

    @property
    def ended(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def delivering() -> Delivering:
    return Delivering()


def claim(attempt: int = 1, event: Event = TRACED) -> Claim:
    return Claim("job-1", "int-1", 1, "org-1/store-1", event.ref, attempt, event=StoredEvent(event.ref, event, 0))


def target(kind: str, configuration: object) -> DeliveryTarget:
    return cast(DeliveryTarget, SimpleNamespace(integration_type=kind, configuration=configuration))


WEBHOOK = target("webhook", WebhookConfiguration(url="https://erp.example:8443/hook?token=planted"))


def test_an_event_is_published_as_a_child_of_what_it_came_with(delivering: Delivering) -> None:
    with delivering.spans.publishing([TRACED, EVENT], "http") as sending:
        sending.answered([Acceptance.NEW, Acceptance.DIFFERS])
    child, root = delivering.ended
    assert child.parent is not None
    assert f"{child.parent.span_id:016x}" == CONTEXT.span_id
    assert root.parent is None
    first, second = (event.trace for event in sending.events)
    assert first == TraceContext(f"00-{CONTEXT.trace_id}-{child.context.span_id:016x}-01", "shop=1")
    assert second is not None
    assert second.trace_id == f"{root.context.trace_id:032x}" != CONTEXT.trace_id
    assert [dict(span.attributes or {})["edw.acceptance"] for span in delivering.ended] == ["new", "differs"]
    assert "4111-1111" not in child.to_json()


def test_an_event_with_a_trace_of_its_own_is_linked_to_the_request_that_brought_it(delivering: Delivering) -> None:
    with (
        delivering.spans.request("POST", "/v2/events", None) as request,
        delivering.spans.publishing([TRACED, replace(EVENT, trace=request.trace)], "http"),
    ):
        pass
    own, requests, around = delivering.ended
    assert [link.context.span_id for link in own.links] == [around.context.span_id]
    assert requests.parent is not None
    assert (requests.parent.span_id, requests.links) == (around.context.span_id, ())


@pytest.mark.parametrize(("status", "failed"), [(202, False), (422, False), (503, True)])
def test_a_request_has_failed_where_the_fault_is_ours(delivering: Delivering, status: int, failed: bool) -> None:
    with suppress(ValueError), delivering.spans.request("POST", "/v2/events", CONTEXT) as request:
        request.answered(status)
        raise ValueError("planted")
    (span,) = delivering.ended
    assert span.status.is_ok is not failed
    assert dict(span.attributes or {})["http.response.status_code"] == status
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == CONTEXT.span_id
    assert "planted" not in span.to_json()


def test_a_publish_that_the_ledger_did_not_answer_has_failed(delivering: Delivering) -> None:
    with pytest.raises(LedgerUnavailable), delivering.spans.publishing([EVENT], "publisher"):
        raise LedgerUnavailable("away")
    (span,) = delivering.ended
    assert not span.status.is_ok
    assert dict(span.attributes or {})["error.type"] == "LedgerUnavailable"


def test_an_event_that_nobody_traced_begins_its_trace_when_it_is_observed(delivering: Delivering) -> None:
    untraced, traced = StoredEvent("ref-1", EVENT, 0), StoredEvent("ref-2", TRACED, 0)
    with delivering.spans.observing([untraced, traced]) as observed:
        observed.matched("ref-1", 3)
        observed.matched("ref-2", 0)
    root, child = delivering.ended
    assert root.parent is None
    assert child.parent is not None
    first, second = observed.events
    assert first.event.trace is not None
    assert first.event.trace.span_id == f"{root.context.span_id:016x}"
    assert second == traced


def test_an_event_that_could_not_be_observed_says_so(delivering: Delivering) -> None:
    with delivering.spans.observing([StoredEvent("ref-1", EVENT, 0), StoredEvent("ref-2", TRACED, 0)]) as observed:
        observed.matched("ref-2", 1)
    good, bad = delivering.ended
    assert (good.status.is_ok, bad.status.is_ok) == (True, False)


def test_each_attempt_is_linked_to_the_one_before_whichever_process_makes_it() -> None:
    attempts: list[ReadableSpan] = []
    for number in (1, 2, 3):
        delivering = Delivering()
        delivering.spans.attempt(claim(number), WEBHOOK).end(
            Attempt(claim(number), "webhook", InterruptedAttempt(), Retry(0.0), 0.1)
        )
        attempts += delivering.ended
    assert [span.context.span_id for span in attempts] == [span_id_of("job-1", number) for number in (1, 2, 3)]
    assert [[link.context.span_id for link in span.links] for span in attempts] == [
        [],
        [attempts[0].context.span_id],
        [attempts[1].context.span_id],
    ]
    assert {span.context.trace_id for span in attempts} == {int(CONTEXT.trace_id, 16)}


@pytest.mark.parametrize(
    ("outcome", "decision", "failed", "said"),
    [
        (Delivered(200, "ok"), Succeed(), False, {"http.response.status_code": 200}),
        (
            Refused(503, "4111-1111", "busy"),
            Retry(5.0),
            True,
            {"error.type": "503", "http.response.status_code": 503, "edw.retry_in": 5.0},
        ),
        (Gone("gone"), Fail("gone"), True, {"error.type": "410", "edw.job_failed": "gone"}),
        (LostAttempt(), Retry(0.0), True, {"error.type": "lost"}),
    ],
)
def test_an_attempt_says_what_came_of_it(
    delivering: Delivering, outcome: object, decision: object, failed: bool, said: dict[str, object]
) -> None:
    attempt = Attempt(claim(), "webhook", outcome, decision, 0.1)  # type: ignore[arg-type]  # any of them
    delivering.spans.attempt(claim(), WEBHOOK).end(attempt)
    (span,) = delivering.ended
    assert span.status.is_ok is not failed
    assert said.items() <= dict(span.attributes or {}).items()
    assert not any(word in span.to_json() for word in ("4111-1111", "planted"))


SQS = AwsSqsConfiguration(
    url="https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
    aws_access_key_id="AKIAPLANTEDPLANTED00",
    aws_secret_access_key="planted/planted+planted+planted+planted0",
    region="eu-central-1",
)
STOMP = StompConfiguration(destination="/queue/orders", addresses=("stomp://broker.example:61613",))


@pytest.mark.parametrize(
    ("kind", "configuration", "span_kind", "said"),
    [
        ("webhook", WEBHOOK.configuration, SpanKind.CLIENT, {"server.address": "erp.example", "server.port": 8443}),
        ("aws_sqs", SQS, SpanKind.PRODUCER, {"messaging.system": "aws_sqs", "messaging.destination.name": "orders"}),
        (
            "stomp",
            STOMP,
            SpanKind.PRODUCER,
            {"messaging.system": "stomp", "messaging.destination.name": "/queue/orders"},
        ),
        ("plug_in", SimpleNamespace(url="https://planted@x"), SpanKind.CLIENT, {"edw.integration.type": "plug_in"}),
    ],
)
def test_an_attempt_says_where_it_goes_and_no_secret(
    delivering: Delivering, kind: str, configuration: object, span_kind: SpanKind, said: dict[str, object]
) -> None:
    delivering.spans.attempt(claim(), target(kind, configuration)).end(
        Attempt(claim(), kind, Delivered(None, ""), Succeed(), 0.1)
    )
    (span,) = delivering.ended
    assert span.kind is span_kind
    assert said.items() <= dict(span.attributes or {}).items()
    assert "planted" not in span.to_json().lower()


def test_an_attempt_without_an_event_or_a_target_is_traced_too(delivering: Delivering) -> None:
    lonely = replace(claim(2), event=None)
    for where in (None, NoTarget("webhook", "the integration was deleted")):
        delivering.spans.attempt(lonely, where).end(Attempt(lonely, "", LostAttempt(), Fail("event_gone"), 0.0))
    assert [(span.name, span.parent, span.links) for span in delivering.ended] == [("deliver", None, ())] * 2


def test_a_trace_that_is_not_sampled_leaves_nothing_and_its_context_goes_on() -> None:
    delivering = Delivering(ParentBased(ALWAYS_OFF))
    with delivering.spans.publishing([EVENT], "http") as sending:
        sending.answered([Acceptance.NEW])
    (event,) = sending.events
    attempt = delivering.spans.attempt(claim(event=event), WEBHOOK)
    attempt.end(Attempt(claim(), "webhook", Delivered(200, ""), Succeed(), 0.1))
    assert delivering.ended == ()
    assert event.trace is not None
    assert attempt.trace is not None
    assert event.trace.trace_id == attempt.trace.trace_id
    assert int(attempt.trace.traceparent[-2:], 16) & 1 == 0


def test_where_opentelemetry_is_switched_off_a_context_goes_on_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    delivering = Delivering()
    with delivering.spans.publishing([TRACED, EVENT], "http") as sending:
        pass
    assert [event.trace for event in sending.events] == [CONTEXT, None]
    with delivering.spans.observing([StoredEvent("ref", EVENT, 0)]) as observed:
        observed.matched("ref", 1)
    assert observed.events[0].event.trace is None
    assert delivering.spans.attempt(claim(), WEBHOOK).trace == CONTEXT


def test_nothing_that_traces_is_imported_where_nobody_asked_for_it() -> None:
    ours = "worker.app, worker.process.runtime, worker.publisher, worker.api.server, worker.cli.commands.emit"
    # redis-py has a use of its own for OpenTelemetry, and imports it where it is installed.
    asked = f"import sys, {ours}; print([name for name in sys.modules if name.startswith({UNASKED})])"
    printed = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"


def test_a_publish_is_a_child_of_what_its_process_is_at(delivering: Delivering) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
    with tracer.start_as_current_span("checkout") as checkout, delivering.spans.publishing([EVENT], "publisher"):
        pass
    (span,) = delivering.ended
    assert span.parent == checkout.get_span_context()


def test_a_publisher_takes_part_only_where_its_process_traces() -> None:
    assert traces_of_process() is None
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
    with tracer.start_as_current_span("checkout") as checkout:
        traces = traces_of_process()
        with publishing(traces, [EVENT], "publisher") as sending:
            pass
    assert traces is not None
    (event,) = sending.events
    assert event.trace == context_of(checkout)
