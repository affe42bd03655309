"""Sample events, for those who try an integration out."""

from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5


def sample_resource(key: str, event_id: str | None = None) -> dict[str, Any]:
    """A small resource of an observable key; of one event always the same, so that the same twice is the same event."""
    resource_id = uuid5(NAMESPACE_OID, event_id) if event_id else uuid4()
    return {"type": key.rpartition(".")[0] or key, "id": str(resource_id)}
