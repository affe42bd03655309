"""Publishing of changes that the fleet itself makes, and of transitions that people are warned of.

Disabling an integration is an `integration.updated` too.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from worker.domain.event import Event, Ingress
from worker.domain.format_version import is_newer
from worker.domain.integration import Integration
from worker.domain.lifecycle import ExhaustedJobs, Notice
from worker.integrations.lifecycle_events import LifecycleEvents
from worker.ledger.fleet import Sweep
from worker.ledger.notices import notice_of
from worker.telemetry import metrics
from worker.telemetry.lane_events import report_disabled
from worker.telemetry.newer_versions import NEWER


class OutboxRegistry(Protocol):
    """The part of the ledger's registry that holds the outbox of disabled integrations."""

    async def get(self, integration_ids: Sequence[str]) -> list[Integration]: ...
    async def announce_disabled(self, integration_id: str, events: Sequence[Event]) -> bool: ...


class NoticesLedger(Protocol):
    """The part of the ledger that holds the outbox of transitions."""

    async def publish(self, written: str, events: Sequence[Event]) -> bool: ...
    async def publish_exhausted(self, jobs: ExhaustedJobs, events: Sequence[Event]) -> bool: ...


class OutboxRelay:
    """Publishes what sweeps find in the outbox, each once; safe when several workers run it.

    `announce` receives the references of the events. If the ledger fails, the next sweep publishes the rest.
    """

    def __init__(
        self,
        registry: OutboxRegistry,
        notices: NoticesLedger,
        changes: LifecycleEvents,
        announce: Callable[[Sequence[str]], None],
    ) -> None:
        self._registry = registry
        self._notices = notices
        self._changes = changes
        self._announce = announce

    async def publish(self, found: Sweep) -> None:
        """Publish what a sweep has found. Raises LedgerError."""
        if found.unannounced:
            await self._publish_disabled(found.unannounced)
        if found.notices or found.exhausted:
            await self._publish_warnings(found.notices, found.exhausted)

    async def _publish_disabled(self, integration_ids: Sequence[str]) -> None:
        for integration in await self._registry.get(integration_ids):
            if is_newer(integration.minor):
                NEWER.left("outbox")
                continue
            event = self._changes.event("updated", integration)
            if await self._registry.announce_disabled(integration.id, [event]):
                report_disabled(integration)
                self._accepted(event)

    async def _publish_warnings(self, written: Sequence[str], exhausted: Sequence[ExhaustedJobs]) -> None:
        notices = [(each, notice) for each in written if (notice := notice_of(each)) is not None]
        NEWER.left("outbox", len(written) - len(notices))
        lanes = list(dict.fromkeys([notice.lane for _, notice in notices] + [each.lane for each in exhausted]))
        integrations = {each.id: each for each in await self._registry.get(lanes)}
        for text, notice in notices:
            events = self._events(notice, integrations.get(notice.lane))
            if await self._notices.publish(text, events):
                self._accepted(*events)
        for jobs in exhausted:
            events = self._events(jobs, integrations.get(jobs.lane))
            if await self._notices.publish_exhausted(jobs, events):
                self._accepted(*events)

    def _events(self, notice: Notice | ExhaustedJobs, integration: Integration | None) -> list[Event]:
        """Return the event of a notice; none if the integration was deleted, which is an event of its own."""
        return [] if integration is None else [self._changes.warning(notice, integration)]

    def _accepted(self, *events: Event) -> None:
        if not events:
            return
        metrics.observe_accepted(Ingress.INTEGRATIONS, [True] * len(events))
        self._announce([event.ref for event in events])
