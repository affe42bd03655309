"""The size of a batch: a pure decision about how many waiting messages go together."""

from __future__ import annotations

from collections.abc import Iterable

#: Messages in one SendMessageBatch.
MOST_MESSAGES = 10
#: Bytes in one SendMessageBatch, with all messages' attributes. Until 2025 SQS took no more, and other servers of its
#: protocol still do not. A single message may be larger if the queue takes it.
MOST_BYTES = 262_144


def first_batch(sizes: Iterable[int]) -> tuple[int, bool]:
    """Return how many of the first messages form a batch (at least one), and whether it is full.

    Waiting adds nothing to a full batch. `sizes` are in bytes, in the order of arrival, which is kept.
    """
    count = total = 0
    for size in sizes:
        total += size
        if count and total > MOST_BYTES:
            return count, True
        count += 1
        if count == MOST_MESSAGES or total >= MOST_BYTES:
            return count, True
    return count, False
