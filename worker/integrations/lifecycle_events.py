"""Lifecycle events: changes to integrations, and what warns people of them, as events that integrations may observe."""

from typing import Any
from uuid import uuid4

import msgspec

from config.observable_events import Catalogue
from deliverers.registry import DelivererRegistry
from worker.domain.event import Event
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.integration import Integration
from worker.domain.lifecycle import ExhaustedJobs, Notice, warning_of
from worker.domain.resources import change_data
from worker.domain.sealing import shown
from worker.domain.secrets_box import SecretsBox


class LifecycleEvents:
    """Makes the events of changes, in which secrets are masked, and those that warn people.

    `api_url` is the API's address for links to the console; empty for none.
    """

    def __init__(self, types: DelivererRegistry, catalogue: Catalogue, secrets: SecretsBox, api_url: str = "") -> None:
        self._types = types
        self._catalogue = catalogue
        self._secrets = secrets
        self._api_url = api_url

    def event(self, what: str, integration: Integration) -> Event:
        """Return an event with an integration's current state. `what` is `created`, `updated` or `deleted`."""
        masked = shown(integration, self._types, self._secrets)
        return self._made(f"integration.{what}", change_data(masked), integration)

    def warning(self, notice: Notice | ExhaustedJobs, integration: Integration) -> Event:
        """Return the event of a transition. It has nothing of the integration's configuration."""
        key, data = warning_of(notice, integration, self._api_url)
        return self._made(key, data, integration)

    def _made(self, key: str, data: Any, integration: Integration) -> Event:
        raw = msgspec.json.encode({"id": str(uuid4()), "type": key, "data": data})
        # The deployment's size limit applies only to events from outside.
        event = parse_event(raw, EventRules(self._catalogue, max_bytes=len(raw)), scope=integration.scope)
        assert isinstance(event, Event)  # noqa: S101  (the catalogue has these keys, at both levels)
        return event
