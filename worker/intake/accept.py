"""The steps by which every ingress accepts events into the ledger.

    trace       give each event the context of the span that publishes it
    write       write each event into the ledger once
    count       count new, duplicate and refused events
    announce    send a wake-up for the new ones

The ingresses differ in what they parse and in the script that writes. So each passes in its events and a function that
writes them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from deliverers.quick_values import quickly_made
from worker.domain.event import Event, Ingress
from worker.ledger import Acceptance, LedgerFull
from worker.telemetry import metrics
from worker.telemetry.metrics import RefusalReason
from worker.telemetry.tracing import publishing
from worker.telemetry.tracing.traces import Traces

#: Writes events into the ledger. Returns None if the ledger wrote nothing, because the caller may no longer write.
Write = Callable[[Sequence[Event]], Awaitable[Sequence[Acceptance] | None]]
WriteSync = Callable[[Sequence[Event]], Sequence[Acceptance]]
Announce = Callable[[Sequence[str]], None]

#: Ingresses that refuse their caller while the ledger is full. The others keep their messages and try again.
_REFUSING = frozenset({Ingress.HTTP, Ingress.PUBLISHER})


class EventObserver(Protocol):
    """Opens the jobs of events that the ledger has accepted."""

    async def begin(self, refs: Sequence[str]) -> None:
        """Open the jobs of these events, perhaps after this returns. What cannot be opened stays in the inbox."""
        ...


@quickly_made
@dataclass(frozen=True, slots=True)
class AcceptedEvents:
    """Events and the ledger's answers to them; `answers` is None if the ledger wrote nothing."""

    events: Sequence[Event]
    answers: Sequence[Acceptance] | None

    @property
    def new(self) -> list[str]:
        """The references of the new events that need a wake-up."""
        answers = self.answers or ()
        return [event.ref for event, answer in zip(self.events, answers, strict=False) if answer is Acceptance.NEW]


class AcceptService:
    """The acceptance of events for every ingress of a process.

    Args:
        traces: Returns the tracing of this process's publishes, or None while the process does not trace.
        announce: Sends the references of new events to the workers. A worker that observes them itself omits it.
    """

    def __init__(self, traces: Callable[[], Traces | None] = lambda: None, announce: Announce = lambda _: None) -> None:
        self._traces = traces
        self._announce = announce

    async def accept(self, ingress: Ingress, events: Sequence[Event], write: Write) -> AcceptedEvents:
        """Accept events on the running loop. Raises what `write` raises."""
        try:
            with publishing(self._traces(), events, ingress) as span:
                answers = await write(span.events)
                span.answered(answers or ())
        except LedgerFull:
            self._note_full(ingress, events)
            raise
        return self._accepted(ingress, events, answers)

    def accept_sync(self, ingress: Ingress, events: Sequence[Event], write: WriteSync) -> AcceptedEvents:
        """Accept events without an event loop. Raises what `write` raises."""
        try:
            with publishing(self._traces(), events, ingress) as span:
                answers = write(span.events)
                span.answered(answers)
        except LedgerFull:
            self._note_full(ingress, events)
            raise
        return self._accepted(ingress, events, answers)

    @staticmethod
    def refuse(ingress: Ingress, count: int, reason: RefusalReason = RefusalReason.INVALID) -> None:
        """Count refused events."""
        metrics.observe_refused(ingress, reason, count)

    def _note_full(self, ingress: Ingress, events: Sequence[Event]) -> None:
        if ingress in _REFUSING:
            self.refuse(ingress, len(events), RefusalReason.PRESSURE)

    def _accepted(
        self, ingress: Ingress, events: Sequence[Event], answers: Sequence[Acceptance] | None
    ) -> AcceptedEvents:
        accepted = AcceptedEvents(events, answers)
        metrics.observe_accepted(ingress, (answer.is_new for answer in answers or ()))
        self._announce(accepted.new)
        return accepted
