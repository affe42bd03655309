"""Where an integration's events go, for people. No I/O."""

from worker.domain.integration import Integration

#: Keys of a configuration that say where events go, the first that is there.
_PLACES = ("url", "destination", "addresses")


def place_of(integration: Integration) -> str:
    """Return where an integration's events go: the part of its configuration that is no secret."""
    for name in _PLACES:
        match integration.configuration.get(name):
            case str() as text if text:
                return text
            case [str() as first, *_]:
                return first
    return ""
