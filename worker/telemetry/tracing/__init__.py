"""Traces, where EDW_TRACES asks for them: one for each event, from its publish through the ledger to every attempt.

    publish order.paid          whoever accepts the event: the API, an ingress of the worker, the Publisher
    ├── observe order.paid      the worker that matches it; the root where nobody traced the publish
    ├── deliver order.paid      an attempt: what its receiver is told as `traceparent`
    └── deliver order.paid      the next one, linked to the one before

The ledger keeps the event's context (`worker.domain.trace_context`), so that all of it is one trace, however late and
in whichever process an attempt is made. The id of an attempt's span follows from the job and the attempt's number: so a
link to the one before needs no memory, and an attempt that was lost with its worker gets its span from whoever finds
that.

Only `spans` and `export` import OpenTelemetry, and only where they are asked for. Without it, what came as a context is
handed on to receivers as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    """Exports this process's spans for as long as the block lasts, where the settings ask for it.

    `service` is what it is called. The rest OpenTelemetry reads from the environment itself: OTEL_SERVICE_NAME,
    OTEL_EXPORTER_OTLP_ENDPOINT and all. The end of the block waits for what has not left, for a moment at most.
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
    """Takes part in what a producer's process traces by itself; None where it traces nothing."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from worker.telemetry.tracing.spans import spans_of_process

    return spans_of_process()


@contextmanager
def publishing(traces: Traces | None, events: Sequence[Event], ingress: str) -> Iterator[Publishing]:
    """Events on their way into the ledger, traced where `traces` are; `ingress` is how they come."""
    if traces is None:
        yield _Untraced(events)
    else:
        with traces.publishing(events, ingress) as traced:
            yield traced


@contextmanager
def observing(traces: Traces | None, events: Sequence[StoredEvent]) -> Iterator[Observing]:
    """Events while they are matched and their jobs opened, traced where `traces` are."""
    if traces is None:
        yield _Unobserved(events)
    else:
        with traces.observing(events) as traced:
            yield traced


def attempt_span(traces: Traces | None, claim: Claim, target: DeliveryTarget | NoTarget | None) -> AttemptSpan:
    """An attempt, traced where `traces` are; else its receiver is told what the event came with."""
    return Unattended(claim.trace) if traces is None else traces.attempt(claim, target)


@dataclass(frozen=True, slots=True)
class Unattended:
    """An attempt that nobody traces."""

    trace: TraceContext | None

    def enter(self) -> None:
        """Nobody asked."""

    def end(self, attempt: Attempt) -> None:
        """Nobody asked."""


@dataclass(frozen=True, slots=True)
class _Untraced:
    events: Sequence[Event]

    def answered(self, answers: Sequence[Acceptance]) -> None:
        """Nobody asked."""


@dataclass(frozen=True, slots=True)
class _Unobserved:
    events: Sequence[StoredEvent]

    def matched(self, ref: str, integrations: int) -> None:
        """Nobody asked."""
