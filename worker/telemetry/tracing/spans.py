"""The spans of a process, with attributes of OpenTelemetry's semantic conventions where those exist.

The observable key is used as the destination's name, like a broker's topic. No attribute holds a payload, a secret or a
URL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer

from worker.telemetry.tracing.attempt_spans import start_attempt
from worker.telemetry.tracing.span_contexts import context_of, parent_of

if TYPE_CHECKING:
    from worker.domain.claim import Claim
    from worker.domain.delivery_target import DeliveryTarget, NoTarget
    from worker.domain.event import Event
    from worker.domain.stored_event import StoredEvent
    from worker.domain.trace_context import TraceContext
    from worker.ledger import Acceptance
    from worker.telemetry.tracing.traces import AttemptSpan

#: `messaging.system` of our own messages.
SYSTEM = "edw"


@dataclass(frozen=True, slots=True)
class OtelPublishSpan:
    """Events with the spans of their publish (`worker.telemetry.tracing.traces.Publishing`)."""

    events: Sequence[Event]
    spans: Sequence[Span]

    def answered(self, answers: Sequence[Acceptance]) -> None:
        """Note the ledger's answers, in the order of the events."""
        # There are no answers if the messages went back to the queue.
        for span, answer in zip(self.spans, answers, strict=False):
            span.set_attribute("edw.acceptance", answer.name.lower())


@dataclass(frozen=True, slots=True)
class OtelObserveSpan:
    """Events with the spans of their matching (`worker.telemetry.tracing.traces.Observing`)."""

    events: Sequence[StoredEvent]
    spans: dict[str, Span]

    def matched(self, ref: str, integrations: int) -> None:
        """End the span of an event that is matched."""
        span = self.spans.pop(ref, None)
        if span is not None:
            span.set_attribute("edw.matched", integrations)
            span.end()


@dataclass(frozen=True, slots=True)
class OtelRequestSpan:
    """The OpenTelemetry span of an API request (`worker.telemetry.tracing.traces.RequestSpan`)."""

    span: Span

    @property
    def trace(self) -> TraceContext | None:
        """The span's context."""
        return context_of(self.span)

    def answered(self, status: int) -> None:
        """Note the status of the answer; statuses from 500 are errors."""
        self.span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self.span.set_attribute("error.type", str(status))
            self.span.set_status(StatusCode.ERROR)


class Spans:
    """An OpenTelemetry tracer of our spans (`worker.telemetry.tracing.traces.Traces`)."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def publishing(self, events: Sequence[Event], ingress: str) -> Iterator[OtelPublishSpan]:
        """Start a span for each event, as a child of the event's own context, else of the current span."""
        spans = [self._publish(event, ingress) for event in events]
        kept = [
            replace(event, trace=context_of(span) or event.trace) for event, span in zip(events, spans, strict=True)
        ]
        try:
            yield OtelPublishSpan(kept, spans)
        except BaseException as error:
            for span in spans:
                _fail(span, type(error).__name__)
            raise
        finally:
            for span in spans:
                span.end()

    @contextmanager
    def observing(self, events: Sequence[StoredEvent]) -> Iterator[OtelObserveSpan]:
        """Start a span for each event; it is the root of the trace if the publish was not traced."""
        spans = {stored.ref: self._observe(stored) for stored in events}
        kept = [
            stored
            if stored.event.trace
            else replace(stored, event=replace(stored.event, trace=context_of(spans[stored.ref])))
            for stored in events
        ]
        why = "could not be observed"
        try:
            yield OtelObserveSpan(kept, spans)
        except BaseException as error:
            why = type(error).__name__
            raise
        finally:
            # The spans of matched events have ended.
            for span in spans.values():
                _fail(span, why)
                span.end()

    def attempt(self, claim: Claim, target: DeliveryTarget | NoTarget | None) -> AttemptSpan:
        """Start the span of an attempt, as a child of the event's publish and linked to the attempt before."""
        return start_attempt(self._tracer, claim, target)

    @contextmanager
    def request(self, method: str, route: str, context: TraceContext | None) -> Iterator[OtelRequestSpan]:
        """Start the span of an API request; it is the current span while the request is handled."""
        attributes = {"http.request.method": method, "http.route": route}
        span = self._tracer.start_span(f"{method} {route}", parent_of(context), SpanKind.SERVER, attributes=attributes)
        # Exceptions are not recorded: the status shows the error, and a caller's mistake is not our failure.
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield OtelRequestSpan(span)

    def _publish(self, event: Event, ingress: str) -> Span:
        around = trace.get_current_span()
        came_by = context_of(around)
        # An event with a trace of its own also gets a link to the trace by which it arrived.
        links = [Link(around.get_span_context())] if came_by and event.trace and event.trace != came_by else []
        return self._tracer.start_span(
            f"publish {event.type}",
            parent_of(event.trace) if event.trace else None,
            SpanKind.PRODUCER,
            attributes={**_of_event(event), **_operation("publish", "send"), "edw.ingress": ingress},
            links=links,
        )

    def _observe(self, stored: StoredEvent) -> Span:
        return self._tracer.start_span(
            f"observe {stored.event.type}",
            parent_of(stored.event.trace),
            SpanKind.CONSUMER,
            attributes={**_of_event(stored.event), **_operation("observe", "process")},
        )


def spans_of_process() -> Spans | None:
    """Return spans of the process's own provider; None if it has neither a provider nor a current span."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider) and not _is_at_something():
        return None
    return _spans_of_process()


def _is_at_something() -> bool:
    return trace.get_current_span().get_span_context().is_valid


@cache
def _spans_of_process() -> Spans:
    return Spans(trace.get_tracer("event-delivery-worker"))


def _of_event(event: Event) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.destination.name": event.type,
        "messaging.message.id": event.id,
        "messaging.message.body.size": len(event.raw),
    }
    if event.scope.store_id:
        attributes["edw.store.id"] = event.scope.store_id
    if event.scope.org_id:
        attributes["edw.org.id"] = event.scope.org_id
    return attributes


def _operation(name: str, kind: str) -> dict[str, str]:
    return {"messaging.operation.name": name, "messaging.operation.type": kind}


def _fail(span: Span, why: str) -> None:
    span.set_attribute("error.type", why)
    span.set_status(StatusCode.ERROR, why)
