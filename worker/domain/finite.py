"""Numbers that JSON does not have: infinity and not-a-number, in what other decoders made. No I/O.

Nothing here recurses: what is looked through may be of any depth.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

_PLACE_PARTS = 8
_NAME_CHARS = 80
#: Types of values with nothing in them, and no float.
_SIMPLE = frozenset({str, int, bool, type(None)})


def _has_non_number(given: Mapping[str, Any]) -> bool:
    """Say whether there is one, without its place: nearly every event has none, and this is four times as quick."""
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
    """Find an infinite float, or one that is no number; None where there is none.

    Of the place, the first _PLACE_PARTS names are returned, and _NAME_CHARS characters of each: they are foreign.
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
