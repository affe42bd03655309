"""Division of items into batches for one call each."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batches(items: Iterable[Item], most: int, max_bytes: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield the items in order, in batches of at most `most` items and `max_bytes` bytes.

    An item of more than `max_bytes` bytes has a batch of its own.
    """
    batch: list[Item] = []
    total = 0
    for item in items:
        bytes_of_item = size(item)
        if batch and (len(batch) >= most or total + bytes_of_item > max_bytes):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += bytes_of_item
    if batch:
        yield batch
