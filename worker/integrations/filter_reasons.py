"""Why the filters of integrations leave events out, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from worker.domain.content_filter import ContentFilter, compile_filter, content_of
from worker.domain.integration import Integration
from worker.domain.stored_event import StoredEvent


class FilterReasons:
    """The filters of some integrations, compiled once, for events one after the other."""

    def __init__(self, integrations: Iterable[Integration]) -> None:
        compiled = {each.id: compile_filter(each.filter) for each in integrations if each.filter is not None}
        self._filters = {each: found for each, found in compiled.items() if isinstance(found, ContentFilter)}
        self._event: StoredEvent | None = None
        self._content: Mapping[str, Any] = {}

    def of(self, integration_id: str, stored: StoredEvent) -> str:
        """Return why an integration's filter leaves an event out; empty if it matches, or if there is no filter."""
        content_filter = self._filters.get(integration_id)
        if content_filter is None:
            return ""
        if stored.erased:
            return "it has a filter, which cannot be checked any more: the event's data was erased"
        if stored is not self._event:
            self._event, self._content = stored, content_of(stored)
        unmet = content_filter.unmet(self._content)
        return f"its filter does not match: {unmet}" if unmet is not None else ""
