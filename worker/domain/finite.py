"""Search for the numbers that JSON does not have, infinity and not-a-number, in values from other decoders.

Nothing here recurses, because the values may be of any depth.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

_PLACE_PARTS = 8
_NAME_CHARS = 80
#: Types of values that are neither containers nor floats.
_SIMPLE = frozenset({str, int, bool, type(None)})


def _has_non_number(given: Mapping[str, Any]) -> bool:
    """Return whether there is such a number, without its place.

    Nearly every event has none, and this check is four times as fast as the search for the place.
    """
    waiting: list[Iterable[Any]] = [given.values()]
    while waiting:
        for value in waiting.pop():
            kind = type(value)
            if kind in _SIMPLE:
                continue
            if kind is dict:
                waiting.append(value.values())
            elif kind is list:
                waiting.append(value)
            elif isinstance(value, float):
                if not isfinite(value):
                    return True
            elif isinstance(value, Mapping | tuple | list):
                waiting.append(value.values() if isinstance(value, Mapping) else value)
    return False


def place_of_non_number(given: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the place of a float that is infinite or not a number; None if there is none.

    The place is cut to its first _PLACE_PARTS names, and each name to _NAME_CHARS characters, because a producer chose
    them.
    """
    if not _has_non_number(given):
        return None
    waiting: list[tuple[tuple[str, ...], Any]] = [((), given)]
    while waiting:
        place, value = waiting.pop()
        match value:
            case float() if not isfinite(value):
                return tuple(part[:_NAME_CHARS] for part in place[:_PLACE_PARTS])
            case Mapping():
                waiting += [((*place, str(name)), each) for name, each in value.items()]
            case list() | tuple():
                waiting += [((*place, str(index)), each) for index, each in enumerate(value)]
    return None
