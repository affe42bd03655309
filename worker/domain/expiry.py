"""Values of a configuration that run out, such as client certificates: which ones people are warned of."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from deliverers.registry import DelivererRegistry, UnknownIntegrationType
from worker.domain.humanize import counted
from worker.domain.integration import Integration

#: How long before the end people are warned.
WARNED_AHEAD = timedelta(days=30)


def ends_of(integration: Integration, registry: DelivererRegistry) -> Mapping[str, datetime]:
    """Return when values of an integration's configuration run out, by their fields."""
    try:
        return registry.expirations(integration.integration_type, integration.configuration)
    except UnknownIntegrationType:
        return {}


def expiry_warnings(integration: Integration, registry: DelivererRegistry, now: datetime) -> list[str]:
    """Return a warning for each value that has run out, or will within 30 days."""
    return [
        f"configuration.{name} {expiry_words(end, now)}"
        for name, end in ends_of(integration, registry).items()
        if end <= now + WARNED_AHEAD
    ]


def expiry_words(end: datetime, now: datetime) -> str:
    """Return when something ran out or will: `expires on 2026-12-20, in 21 days`."""
    if end <= now:
        return f"expired on {end:%Y-%m-%d}: replace it"
    return f"expires on {end:%Y-%m-%d}, in {counted((end - now).days, 'day')}: replace it"
