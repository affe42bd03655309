"""Many things in portions that one call may carry."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def portions(items: Iterable[Item], most: int, max_bytes: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """At most `most` items and about `max_bytes` bytes at a time, and one item at least; in their order."""
    portion: list[Item] = []
    total = 0
    for item in items:
        if portion and (len(portion) >= most or total + size(item) > max_bytes):
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += size(item)
    if portion:
        yield portion
