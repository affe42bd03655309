"""The interface of a tracer: spans of publishing, observing, attempts and requests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from worker.domain.attempt import Attempt
    from worker.domain.claim import Claim
    from worker.domain.delivery_target import DeliveryTarget, NoTarget
    from worker.domain.event import Event
    from worker.domain.stored_event import StoredEvent
    from worker.domain.trace_context import TraceContext
    from worker.ledger import Acceptance


class Publishing(Protocol):
    """Events on their way into the ledger."""

    @property
    def events(self) -> Sequence[Event]:
        """The events, each with the context that the ledger is to keep."""
        ...

    def answered(self, answers: Sequence[Acceptance]) -> None:
        """Note the ledger's answers; without them, it is unknown whether the ledger has the events."""
        ...


class Observing(Protocol):
    """Events that are being matched."""

    @property
    def events(self) -> Sequence[StoredEvent]:
        """The events, each with the context that the ledger is to keep if it has none."""
        ...

    def matched(self, ref: str, integrations: int) -> None:
        """Note how many integrations observe an event. An event without this note could not be observed."""
        ...


class AttemptSpan(Protocol):
    """An attempt under way."""

    @property
    def trace(self) -> TraceContext | None:
        """The context that the receiver gets."""
        ...

    def enter(self) -> None:
        """Make it the current span of the running task, as the parent of a plug-in's own spans."""
        ...

    def end(self, attempt: Attempt) -> None:
        """End the span with the attempt's outcome. A span that is not ended is never exported."""
        ...


class RequestSpan(Protocol):
    """A request of the API under way."""

    @property
    def trace(self) -> TraceContext | None:
        """The context of the request's span."""
        ...

    def answered(self, status: int) -> None:
        """Note the status that the caller gets."""
        ...


class Traces(Protocol):
    """A tracer, such as `worker.telemetry.tracing.spans.Spans`; no method waits for an exporter."""

    def publishing(self, events: Sequence[Event], ingress: str) -> AbstractContextManager[Publishing]: ...
    def observing(self, events: Sequence[StoredEvent]) -> AbstractContextManager[Observing]: ...
    def attempt(self, claim: Claim, target: DeliveryTarget | NoTarget | None) -> AttemptSpan: ...
    def request(self, method: str, route: str, context: TraceContext | None) -> AbstractContextManager[RequestSpan]: ...
