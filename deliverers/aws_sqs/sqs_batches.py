"""How many of the messages that wait go together: a pure decision."""

from __future__ import annotations

from collections.abc import Iterable

#: Messages of one SendMessageBatch.
MOST_MESSAGES = 10
#: Bytes of one SendMessageBatch, every message with its attributes. SQS took no more until 2025, and other servers of
#: its protocol still do not; a single message may be larger, where the queue takes it.
MOST_BYTES = 262_144


def first_batch(sizes: Iterable[int]) -> tuple[int, bool]:
    """How many of the first messages make a batch, at least one; and whether it is full: waiting would add nothing.

    `sizes` are in bytes, in the order of arrival, which is kept.
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
