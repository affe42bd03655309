"""The span of an attempt, with the attributes that show in a trace how the delivery went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer
from yarl import URL

from worker.domain.retry_policy import Fail, Retry
from worker.telemetry.tracing.span_contexts import context_of, parent_of, span_context_of
from worker.telemetry.tracing.span_ids import next_span_id, span_id_of

if TYPE_CHECKING:
    from worker.domain.attempt import Attempt
    from worker.domain.claim import Claim
    from worker.domain.delivery_target import DeliveryTarget, NoTarget
    from worker.domain.trace_context import TraceContext

#: Types whose receiver is a broker, from which a consumer takes the message later.
BROKERS = frozenset({"aws_sqs", "stomp"})
HTTP = "webhook"

Attributes = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class OtelAttemptSpan:
    """The OpenTelemetry span of an attempt under way (`worker.telemetry.tracing.traces.AttemptSpan`)."""

    span: Span

    @property
    def trace(self) -> TraceContext | None:
        """The span's context."""
        return context_of(self.span)

    def enter(self) -> None:
        """Make it the current span of the task, which ends with the attempt, so nothing is restored."""
        contexts.attach(trace.set_span_in_context(self.span))

    def end(self, attempt: Attempt) -> None:
        """End the span with the outcome of the attempt."""
        if self.span.is_recording():
            self.span.set_attributes(_outcome(attempt))
            if not attempt.succeeded:
                self.span.set_status(StatusCode.ERROR, attempt.reason)
        self.span.end()


def start_attempt(tracer: Tracer, claim: Claim, target: DeliveryTarget | NoTarget | None) -> OtelAttemptSpan:
    """Start the span of an attempt; its id is computed from the job's id and the attempt's number."""
    links = []
    if claim.trace and claim.attempt > 1:
        links = [Link(span_context_of(claim.trace, span_id_of(claim.job_id, claim.attempt - 1)))]
    kind = target.integration_type if target else ""
    with next_span_id(span_id_of(claim.job_id, claim.attempt)):
        span = tracer.start_span(
            f"deliver {claim.event.event.type}" if claim.event else "deliver",
            parent_of(claim.trace),
            SpanKind.PRODUCER if kind in BROKERS else SpanKind.CLIENT,
            attributes=_attributes(claim, kind, target),
            links=links,
        )
    return OtelAttemptSpan(span)


def _attributes(claim: Claim, kind: str, target: DeliveryTarget | NoTarget | None) -> Attributes:
    attributes: Attributes = {
        "edw.job.id": claim.job_id,
        "edw.attempt": claim.attempt,
        "edw.integration.id": claim.integration_id,
        "edw.integration.type": kind,
    }
    if claim.event is not None:
        event = claim.event.event
        attributes |= {"messaging.message.id": event.id, "edw.event.type": event.type}
        if event.scope.store_id:
            attributes["edw.store.id"] = event.scope.store_id
        if event.scope.org_id:
            attributes["edw.org.id"] = event.scope.org_id
    if kind in BROKERS:
        attributes |= {"messaging.system": kind, "messaging.operation.name": "send", "messaging.operation.type": "send"}
    elif kind == HTTP:
        attributes["http.request.method"] = "POST"
        if claim.attempt > 1:
            attributes["http.request.resend_count"] = claim.attempt - 1
    # The fields of a plug-in's configuration are unknown and may hold secrets.
    return attributes | _receiver(target) if kind in BROKERS or kind == HTTP else attributes


def _receiver(target: DeliveryTarget | NoTarget | None) -> Attributes:
    """Return the receiver's queue, host and port; not its URL, which may hold secrets."""
    configuration = getattr(target, "configuration", None)
    attributes: Attributes = {}
    if queue := getattr(configuration, "queue_name", None) or getattr(configuration, "destination", None):
        attributes["messaging.destination.name"] = str(queue)
    url = getattr(configuration, "url", None)
    if isinstance(url, str):
        parsed = URL(url)
        if parsed.host:
            attributes["server.address"] = parsed.host
        if parsed.port:
            attributes["server.port"] = parsed.port
    return attributes


def _outcome(attempt: Attempt) -> Attributes:
    outcome = attempt.outcome_name
    attributes: Attributes = {"edw.outcome": outcome}
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if not attempt.succeeded:
        attributes["error.type"] = str(attempt.status or outcome)
    match attempt.decision:
        case Retry(delay=delay):
            attributes["edw.retry_in"] = round(delay, 3)
        case Fail(reason=reason):
            attributes["edw.job_failed"] = reason
    return attributes
