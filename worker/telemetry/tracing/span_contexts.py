"""Conversions between our own trace context and OpenTelemetry's."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, TraceState

from worker.domain.trace_context import TraceContext

#: A context without a trace, even while the process has a current span.
NOWHERE = Context()


def span_context_of(context: TraceContext, span_id: int | None = None) -> SpanContext:
    """Return OpenTelemetry's form of a received context; with `span_id`, of another span of the same trace."""
    return SpanContext(
        trace_id=int(context.trace_id, 16),
        span_id=span_id or int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(context.traceparent[-2:], 16)),
        trace_state=TraceState.from_header([context.tracestate]) if context.tracestate else None,
    )


def parent_of(context: TraceContext | None) -> Context:
    """Return the parent context for a new span; without a `context`, the span becomes a root."""
    return (
        NOWHERE if context is None else trace.set_span_in_context(NonRecordingSpan(span_context_of(context)), NOWHERE)
    )


def context_of(span: Span) -> TraceContext | None:
    """Return the context of a span; None if it belongs to no trace."""
    found = span.get_span_context()
    if not found.is_valid:
        return None
    parent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
    return TraceContext(parent, found.trace_state.to_header() if found.trace_state else "")
