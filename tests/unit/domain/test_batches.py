"""Items in batches."""

from collections.abc import Sequence

from worker.domain.batches import batches

#: A number to recognise it by, and its bytes.
Sized = tuple[int, int]


def numbers(items: Sequence[Sized], most: int, max_bytes: int) -> list[list[int]]:
    return [[number for number, _ in batch] for batch in batches(items, most, max_bytes, lambda item: item[1])]


def test_batches_keep_the_order_and_both_limits() -> None:
    items = [(number, 10) for number in range(1, 8)]

    assert numbers(items, 3, 1_000) == [[1, 2, 3], [4, 5, 6], [7]]
    assert numbers(items, 100, 25) == [[1, 2], [3, 4], [5, 6], [7]]


def test_one_that_is_larger_than_a_batch_goes_alone() -> None:
    assert numbers([(1, 1), (2, 50), (3, 1)], 10, 20) == [[1], [2], [3]]
