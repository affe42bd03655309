"""Publishing of changes that the fleet itself makes: disabling an integration is an `integration.updated` too."""

from collections.abc import Callable, Sequence
from typing import Protocol

from worker.domain.event import Event, Ingress
from worker.domain.format_version import is_newer
from worker.domain.integration import Integration
from worker.integrations.lifecycle_events import LifecycleEvents
from worker.telemetry import metrics
from worker.telemetry.lane_events import report_disabled
from worker.telemetry.newer_versions import NEWER


class OutboxRegistry(Protocol):
    """The part of the ledger's registry that holds the outbox."""

    async def get(self, integration_ids: Sequence[str]) -> list[Integration]: ...
    async def announce_disabled(self, integration_id: str, events: Sequence[Event]) -> bool: ...


class OutboxRelay:
    """Publishes the changes in the outbox that sweeps find. `announce` receives the references of the events."""

    def __init__(
        self, registry: OutboxRegistry, changes: LifecycleEvents, announce: Callable[[Sequence[str]], None]
    ) -> None:
        self._registry = registry
        self._changes = changes
        self._announce = announce

    async def publish(self, integration_ids: Sequence[str]) -> None:
        """Publish `integration.updated` once per integration; safe when several workers run it.

        If it raises LedgerError, the next sweep publishes the rest.
        """
        for integration in await self._registry.get(integration_ids):
            if is_newer(integration.minor):
                NEWER.left("outbox")
                continue
            event = self._changes.event("updated", integration)
            if await self._registry.announce_disabled(integration.id, [event]):
                report_disabled(integration)
                metrics.observe_accepted(Ingress.INTEGRATIONS, [True])
                self._announce([event.ref])
