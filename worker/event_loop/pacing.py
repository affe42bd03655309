"""Work on received bytes in steps, between which the event loop runs other tasks.

The bytes and the parts of a step are limited, and so is the time for which it blocks the loop. The worst content takes
about 20 ms per MiB, and the worst event of a few bytes (one with an unknown key) 0.2 ms.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

#: Most bytes of one step. A larger part is a step of its own.
STEP_BYTES = 256 * 1024
#: Most parts of one step.
STEP_PARTS = 50

Part = TypeVar("Part")


def _size(part: object) -> int:
    return len(part) if isinstance(part, bytes) else 0


async def paced(parts: Sequence[Part], size_of: Callable[[Part], int] = _size) -> AsyncIterator[Part]:
    """Yield each part, and let the loop run other tasks between two steps.

    `size_of` returns the number of bytes of a part. By default that is the length of `bytes`, and 0 for other types.
    """
    for number, step in enumerate(steps(parts, size_of)):
        if number:
            await breathe()
        for part in step:
            yield part


def steps(parts: Sequence[Part], size_of: Callable[[Part], int] = _size) -> Iterator[Sequence[Part]]:
    """Yield the parts of each step together. Between two steps, the caller lets the loop run other tasks."""
    start = handled = 0
    for index, part in enumerate(parts):
        size = size_of(part)
        if index > start and (index - start == STEP_PARTS or handled + size > STEP_BYTES):
            yield parts[start:index]
            start, handled = index, 0
        handled += size
    if start < len(parts):
        yield parts[start:]


async def breathe() -> None:
    """Let the loop run everything that is due."""
    await asyncio.sleep(0)
