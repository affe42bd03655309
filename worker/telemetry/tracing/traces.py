"""What a process asks of its tracer: spans of publishes, observing, attempts and requests."""

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
        """Each with the context that the ledger is to keep."""
        ...

    def answered(self, answers: Sequence[Acceptance]) -> None:
        """What the ledger said to them; without an answer, nobody knows whether it has them."""
        ...


class Observing(Protocol):
    """Events that are matched."""

    @property
    def events(self) -> Sequence[StoredEvent]:
        """Each with the context that the ledger is to keep, where it has none."""
        ...

    def matched(self, ref: str, integrations: int) -> None:
        """So many integrations observe an event. One of which nothing is said could not be observed."""
        ...


class AttemptSpan(Protocol):
    """An attempt under way."""

    @property
    def trace(self) -> TraceContext | None:
        """What its receiver is told."""
        ...

    def enter(self) -> None:
        """Makes it the current span of the running task, for what a plug-in traces itself."""
        ...

    def end(self, attempt: Attempt) -> None:
        """It is over. One that never ends leaves nothing."""
        ...


class RequestSpan(Protocol):
    """A request of the API under way."""

    @property
    def trace(self) -> TraceContext | None:
        """What belongs to it."""
        ...

    def answered(self, status: int) -> None:
        """What its caller got."""
        ...


class Traces(Protocol):
    """What is asked of whoever traces (`worker.telemetry.tracing.spans`). Nothing of it waits for an exporter."""

    def publishing(self, events: Sequence[Event], ingress: str) -> AbstractContextManager[Publishing]: ...
    def observing(self, events: Sequence[StoredEvent]) -> AbstractContextManager[Observing]: ...
    def attempt(self, claim: Claim, target: DeliveryTarget | NoTarget | None) -> AttemptSpan: ...
    def request(self, method: str, route: str, context: TraceContext | None) -> AbstractContextManager[RequestSpan]: ...
