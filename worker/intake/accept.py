"""The one way into the ledger: every event that is accepted takes these steps, whichever ingress it came by.

    trace       give each event the context of the span that publishes it
    write       have the ledger write the events, each once
    count       count the new, the duplicate and the refused
    announce    wake up a worker for the new ones

The ingresses differ in what they parse and in which script writes, so they hand in events and a function that writes.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from worker.domain.event import Event, Ingress
from worker.ledger import Acceptance, LedgerFull
from worker.telemetry import metrics
from worker.telemetry.metrics import RefusalReason
from worker.telemetry.tracing import publishing
from worker.telemetry.tracing.traces import Publishing, Traces

#: Writes events into the ledger; None where the ledger wrote nothing, because the caller may not write any more.
Write = Callable[[Sequence[Event]], Awaitable[Sequence[Acceptance] | None]]
WriteSync = Callable[[Sequence[Event]], Sequence[Acceptance]]
Announce = Callable[[Sequence[str]], None]

#: Ingresses whose caller is refused while the ledger is full. The others keep their messages and try again.
_REFUSING = frozenset({Ingress.HTTP, Ingress.PUBLISHER})


class EventObserver(Protocol):
    """Opens the jobs of events that the ledger has accepted."""

    async def observe(self, refs: Sequence[str]) -> None:
        """Open the jobs of these events. Raises LedgerError; then the events stay in the inbox."""
        ...


@dataclass(frozen=True, slots=True)
class AcceptedEvents:
    """The ledger's answers to events; None where it wrote nothing."""

    events: Sequence[Event]
    answers: Sequence[Acceptance] | None

    @property
    def new(self) -> list[str]:
        """The references of the events that are new."""
        answers = self.answers or ()
        return [event.ref for event, answer in zip(self.events, answers, strict=False) if answer is Acceptance.NEW]


class AcceptService:
    """Accept events for every ingress of a process.

    Args:
        traces: Returns what traces this process's publishes now, or None.
        announce: Sends the references of new events to the workers. A worker that observes them itself needs none.
    """

    def __init__(self, traces: Callable[[], Traces | None] = lambda: None, announce: Announce = lambda _: None) -> None:
        self._traces = traces
        self._announce = announce

    async def accept(self, ingress: Ingress, events: Sequence[Event], write: Write) -> AcceptedEvents:
        """Accept events. Raises what `write` raises."""
        with self._publishing(ingress, events) as span:
            answers = await write(span.events)
            span.answered(answers or ())
        return self._accepted(ingress, events, answers)

    def accept_sync(self, ingress: Ingress, events: Sequence[Event], write: WriteSync) -> AcceptedEvents:
        """Accept events, in a process without an event loop. Raises what `write` raises."""
        with self._publishing(ingress, events) as span:
            answers = write(span.events)
            span.answered(answers)
        return self._accepted(ingress, events, answers)

    @staticmethod
    def refuse(ingress: Ingress, count: int, reason: RefusalReason = RefusalReason.INVALID) -> None:
        """Count events that were not accepted."""
        metrics.observe_refused(ingress, reason, count)

    @contextmanager
    def _publishing(self, ingress: Ingress, events: Sequence[Event]) -> Iterator[Publishing]:
        try:
            with publishing(self._traces(), events, ingress) as span:
                yield span
        except LedgerFull:
            if ingress in _REFUSING:
                self.refuse(ingress, len(events), RefusalReason.PRESSURE)
            raise

    def _accepted(
        self, ingress: Ingress, events: Sequence[Event], answers: Sequence[Acceptance] | None
    ) -> AcceptedEvents:
        accepted = AcceptedEvents(events, answers)
        metrics.observe_accepted(ingress, (answer is Acceptance.NEW for answer in answers or ()))
        self._announce(accepted.new)
        return accepted
