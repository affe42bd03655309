"""Sort orders in the platform's syntax: `sort=name,-created_at`. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from worker.api.api_errors import bad_parameter

SORT = "sort"
#: Characters of a foreign word that are compared and repeated.
_SHOWN_CHARS = 80

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class SortKey(Generic[Item]):
    """One attribute by which records are ordered."""

    of: Callable[[Item], Any]
    descending: bool


def parse_sort(text: str, fields: Mapping[str, Callable[[Item], Any]]) -> Sequence[SortKey[Item]]:
    """Return the keys of a sort order, the most important first. Raises ApiError (400)."""
    keys: list[SortKey[Item]] = []
    words = text.split(",", len(fields))
    if len(words) > len(fields):
        raise bad_parameter(SORT, f"expected at most {len(fields)} attributes, joined by commas")
    for word in words:
        name = word.strip().removeprefix("-")
        of = fields.get(name)
        if of is None:
            near = get_close_matches(name[:_SHOWN_CHARS], fields, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; expected some of {', '.join(fields)}"
            raise bad_parameter(SORT, f'"{name[:_SHOWN_CHARS]}" is no attribute to sort by{hint}')
        keys.append(SortKey(of, word.strip().startswith("-")))
    return keys


def ordered(items: Sequence[Item], keys: Sequence[SortKey[Item]]) -> list[Item]:
    """Return the items in order; equal ones stay in the order in which they came."""
    found = list(items)
    for key in reversed(keys):
        found.sort(key=key.of, reverse=key.descending)
    return found


def sort_pattern(fields: Mapping[str, Any]) -> str:
    """Return the regular expression of a sort order, for the API's description."""
    one = f"-?({'|'.join(fields)})"
    return f"^{one}(,{one}){{0,{len(fields) - 1}}}$"
