"""The filter of an integration: a pattern that an event must match, so that the integration gets it.

The pattern has the form of an event: `{"data": {"total": {"$gte": 100}, "status": {"$in": ["paid", "complete"]}}}`.
A value stands for itself, a list for several values that are all there, and names that begin with `$` are operators.
Compiling a filter validates it; the compiled one decides without I/O, in a bounded number of steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from json import loads
from typing import Any

import msgspec

from worker.domain.event import Refusal
from worker.domain.filter_conditions import Budget, Condition, TooCostlyError, Unmet
from worker.domain.filter_patterns import EVENT_NAMES, PatternReader
from worker.domain.stored_event import StoredEvent

#: Bytes of a filter's JSON.
FILTER_MAX_BYTES = 8 * 1024
#: Steps for one event: each condition costs one for each element of a list.
STEPS_MAX = 20_000
#: Digits of an integer that Python converts.
_DIGITS_MAX = 4_000

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class ContentFilter:
    """A compiled filter."""

    condition: Condition

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event (see content_of) matches. One that takes too many steps does: nothing is lost."""
        try:
            return self.condition.holds(event, Budget(STEPS_MAX))
        except TooCostlyError:
            return True

    def unmet(self, event: Mapping[str, Any]) -> Unmet | None:
        """Return the first condition that an event does not meet; None if it matches."""
        try:
            if self.condition.holds(event, Budget(STEPS_MAX)):
                return None
            return self.condition.unmet(event, Budget(STEPS_MAX))
        except TooCostlyError:
            return None


def compile_filter(document: Any) -> ContentFilter | list[Refusal]:
    """Return the compiled filter, or what is wrong with it; each refusal names the place in `filter`."""
    if not isinstance(document, Mapping):
        example = '{"data": {"total": {"$gte": 100}}}'
        return [Refusal("filter", f"must be an object such as {example}, or null for no filter")]
    try:
        size = len(msgspec.json.encode(document))
    except (RecursionError, TypeError, ValueError, OverflowError) as error:
        return [Refusal("filter", f"cannot be written as JSON: {error}")]
    if size > FILTER_MAX_BYTES:
        return [Refusal("filter", f"must have at most {FILTER_MAX_BYTES:,} bytes as JSON, and has {size:,}")]
    reader = PatternReader()
    condition = reader.pattern(document, ("filter",), EVENT_NAMES)
    return reader.problems if reader.problems or condition is None else ContentFilter(condition)


def content_of(stored: StoredEvent) -> Mapping[str, Any]:
    """Return an event as filters see it: its JSON, with the id, the scope and the time that it got when accepted."""
    event = stored.event
    content = _decoded(event.raw)
    scope = {"store_id": event.scope.store_id, "org_id": event.scope.org_id}
    content |= {name: value for name, value in scope.items() if value is not None}
    content |= {"id": event.id, "type": event.type, "time": stored.time}
    return content


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        # It has a number that no double holds, such as 1e999.
        found = loads(raw, parse_int=_integer)
        return found if isinstance(found, dict) else {}


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)
