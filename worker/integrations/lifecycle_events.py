"""Lifecycle events: changes to integrations as events that integrations may observe."""

from uuid import uuid4

import msgspec

from config.observable_events import Catalogue
from deliverers.registry import DelivererRegistry
from worker.domain.event import Event
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.integration import Integration
from worker.domain.resources import change_data
from worker.domain.sealing import shown
from worker.domain.secrets_box import SecretsBox


class LifecycleEvents:
    """Makes the events `integration.created`, `.updated` and `.deleted`, in which secrets are masked."""

    def __init__(self, types: DelivererRegistry, catalogue: Catalogue, secrets: SecretsBox) -> None:
        self._types = types
        self._catalogue = catalogue
        self._secrets = secrets

    def event(self, what: str, integration: Integration) -> Event:
        """Return an event with an integration's current state. `what` is `created`, `updated` or `deleted`."""
        masked = shown(integration, self._types, self._secrets)
        raw = msgspec.json.encode({"id": str(uuid4()), "type": f"integration.{what}", "data": change_data(masked)})
        # The deployment's size limit applies only to events from outside.
        event = parse_event(raw, EventRules(self._catalogue, max_bytes=len(raw)), scope=integration.scope)
        assert isinstance(event, Event)  # noqa: S101  (the catalogue has the three keys, at both levels)
        return event
