"""Sample events with which people try an integration."""

from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5


def sample_resource(key: str, event_id: str | None = None) -> dict[str, Any]:
    """Return a small resource for an observable key.

    With `event_id`, the result is always the same, so that sending it twice sends the same event.
    """
    resource_id = uuid5(NAMESPACE_OID, event_id) if event_id else uuid4()
    return {"type": key.rpartition(".")[0] or key, "id": str(resource_id)}
