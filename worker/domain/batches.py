"""Items in batches that one call may carry."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batches(items: Iterable[Item], most: int, max_bytes: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """At most `most` items and about `max_bytes` bytes at a time, and one item at least; in their order."""
    batch: list[Item] = []
    total = 0
    for item in items:
        if batch and (len(batch) >= most or total + size(item) > max_bytes):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size(item)
    if batch:
        yield batch
