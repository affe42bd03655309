"""Traces, if EDW_TRACES enables them: one for each event, from its publish to every attempt.

    publish order.paid          the process that accepts the event: the API, a worker's ingress, or the Publisher
    ├── observe order.paid      the worker that matches it; the root if the publish was not traced
    ├── deliver order.paid      an attempt; its receiver gets this span as `traceparent`
    └── deliver order.paid      the next attempt, linked to the one before

The ledger keeps the event's context (`worker.domain.trace_context`), so every attempt joins the same trace, at any time
and in any process. The id of an attempt's span is computed from the job's id and the attempt's number. A link to the
attempt before therefore needs no memory, and the worker that finds a lost attempt can write its span.

Only `attempt_spans`, `otlp_export`, `span_contexts` and `spans` import OpenTelemetry, and they are imported only when
needed. Without tracing, receivers get the event's context unchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.telemetry.tracing.traces import AttemptSpan, Observing, Publishing, Traces

if TYPE_CHECKING:
    from config.settings import Settings
    from worker.domain.attempt import Attempt
    from worker.domain.claim import Claim
    from worker.domain.delivery_target import DeliveryTarget, NoTarget
    from worker.domain.event import Event
    from worker.domain.stored_event import StoredEvent
    from worker.domain.trace_context import TraceContext
    from worker.ledger import Acceptance


@contextmanager
def exporting(settings: Settings, service: str) -> Iterator[Traces | None]:
    """Export this process's spans until the block ends, if the settings enable it; yields None otherwise.

    `service` is the default of the service's name. OpenTelemetry reads OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_ENDPOINT
    and its other variables from the environment. The end of the block waits up to two seconds for unsent spans.
    """
    if settings.traces == "none":
        yield None
        return
    from worker.telemetry.tracing.otlp_export import Export

    export = Export(service)
    try:
        yield export.traces
    finally:
        export.close()


def traces_of_process() -> Traces | None:
    """Return traces that use the OpenTelemetry provider of a producer's process; None if it does not trace."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from worker.telemetry.tracing.spans import spans_of_process

    return spans_of_process()


def publishing(
    traces: Traces | None, events: Sequence[Event], ingress: str
) -> AbstractContextManager[Publishing, bool | None]:
    """Trace events on their way into the ledger, if `traces` is given; `ingress` is the way in."""
    return _Untraced(events) if traces is None else traces.publishing(events, ingress)


@contextmanager
def observing(traces: Traces | None, events: Sequence[StoredEvent]) -> Iterator[Observing]:
    """Trace events while they are matched and their jobs opened, if `traces` is given."""
    if traces is None:
        yield _Unobserved(events)
    else:
        with traces.observing(events) as traced:
            yield traced


def attempt_span(traces: Traces | None, claim: Claim, target: DeliveryTarget | NoTarget | None) -> AttemptSpan:
    """Start the span of an attempt. Without `traces`, the receiver gets the event's context unchanged."""
    return Unattended(claim.trace) if traces is None else traces.attempt(claim, target)


@dataclass(frozen=True, slots=True)
class Unattended:
    """The span of an attempt in a process that does not trace."""

    trace: TraceContext | None

    def enter(self) -> None:
        """Do nothing."""

    def end(self, attempt: Attempt) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Untraced:
    events: Sequence[Event]

    def __enter__(self) -> _Untraced:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def answered(self, answers: Sequence[Acceptance]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Unobserved:
    events: Sequence[StoredEvent]

    def matched(self, ref: str, integrations: int) -> None:
        """Do nothing."""
