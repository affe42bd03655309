"""Work on foreign bytes, in steps: between two of them an event loop serves everybody else.

A step is bounded by what it handles, in bytes and in parts, and so is the time for which it keeps the loop. The worst
content takes about 20 ms for each MiB, and the worst event of a few bytes (one with an unknown key) 0.2 ms.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

#: Bytes that are handled in one step. A single part that is larger is a step of its own.
STEP_BYTES = 256 * 1024
#: Parts that are handled in one step.
STEP_PARTS = 50

Part = TypeVar("Part")


def _size(part: object) -> int:
    return len(part) if isinstance(part, bytes) else 0


async def paced(parts: Sequence[Part], size_of: Callable[[Part], int] = _size) -> AsyncIterator[Part]:
    """Yield each part, and let the loop run between two steps.

    `size_of` says how many bytes a part has; without it, those of bytes are counted, and none of anything else.
    """
    handled = count = 0
    for part in parts:
        size = size_of(part)
        if count and (count == STEP_PARTS or handled + size > STEP_BYTES):
            await breathe()
            handled = count = 0
        yield part
        handled, count = handled + size, count + 1


async def breathe() -> None:
    """Let the loop do everything that is due."""
    await asyncio.sleep(0)
