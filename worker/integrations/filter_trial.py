"""Trials of filters: whether an event matches, and which condition it does not meet. Nothing is delivered."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import time
from typing import Any

import msgspec

from worker.domain.content_filter import compile_filter, content_of
from worker.domain.event import Refusal, event_ref
from worker.domain.event_parser import ID_MAX_CHARS, EventRules, parse_event
from worker.domain.filter_conditions import Unmet
from worker.domain.integration import Integration
from worker.domain.sample_event import sample_resource
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger

#: What a sample event may have.
_SAMPLE = ("type", "data", "included", "payload")
_KNOWN = (*_SAMPLE, "event_id", "filter")


@dataclass(frozen=True, slots=True)
class TriedFilter:
    """What a filter says of an event."""

    #: None if the event matches.
    unmet: Unmet | None
    #: Whether the integration observes the event's type.
    observed: bool
    #: The event's observable key.
    key: str

    @property
    def words(self) -> str:
        """The answer in one sentence."""
        answer = "The event matches" if self.unmet is None else f"The event does not match: {self.unmet}"
        return answer + ("." if self.observed else f"; and the integration does not observe {self.key}.")


class FilterTrials:
    """Tries filters with a stored event or a sample."""

    def __init__(self, ledger: Ledger, rules: EventRules) -> None:
        self._ledger = ledger
        self._rules = rules

    async def run(self, integration: Integration, given: Mapping[str, Any]) -> TriedFilter | list[Refusal]:
        """Try the integration's filter, or return what is wrong with `given`.

        Args:
            integration: The integration.
            given: `event_id` names a stored event of the integration's scope. Or `type`, `data`, `included` and
                `payload` are those of a sample, which has defaults. `filter` is tried in place of the integration's.
        """
        if strange := [name for name in given if name not in _KNOWN]:
            return [Refusal(name, f"is none of {', '.join(_KNOWN)}", (name,)) for name in strange]
        document = given.get("filter", integration.filter)
        compiled = None if document is None else compile_filter(document)
        if isinstance(compiled, list):
            return compiled
        event = await self._event(integration, given)
        if isinstance(event, Refusal):
            return [event]
        unmet = compiled.unmet(content_of(event)) if compiled is not None else None
        return TriedFilter(unmet, event.event.type in integration.observes, event.event.type)

    async def _event(self, integration: Integration, given: Mapping[str, Any]) -> StoredEvent | Refusal:
        event_id = given.get("event_id")
        if event_id is None:
            return self._sample(integration, given)
        if not isinstance(event_id, str):
            return Refusal("event_id", "must be a text")
        if beside := [name for name in _SAMPLE if given.get(name) is not None]:
            return Refusal(beside[0], "is beside event_id: give a stored event or a sample")
        found = None
        if 0 < len(event_id) <= ID_MAX_CHARS:
            found = await self._ledger.events.stored([event_ref(integration.scope, event_id)])
        if not found:
            return Refusal("event_id", "names no event of this store, or one that is no longer kept")
        return Refusal("event_id", "names an event whose data was erased") if found[0].erased else found[0]

    def _sample(self, integration: Integration, given: Mapping[str, Any]) -> StoredEvent | Refusal:
        key = integration.observes[0] if given.get("type") is None else given["type"]
        sample = {"type": key} | {name: given[name] for name in _SAMPLE[1:] if given.get(name) is not None}
        if "payload" not in sample:
            sample.setdefault("data", sample_resource(str(key)))
        event = parse_event(msgspec.json.encode(sample), self._rules, scope=integration.scope)
        return event if isinstance(event, Refusal) else StoredEvent(event.ref, event, round(time() * 1000))
