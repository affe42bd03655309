"""Ending asyncio tasks for certain."""

import asyncio
from collections.abc import Iterable

#: A task that a cancellation did not end is cancelled again after so long (seconds).
AGAIN_SECONDS = 0.1


async def end(tasks: Iterable["asyncio.Task[object]"]) -> None:
    """Cancels tasks until each is over; what they raise is dropped.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, through which redis-py reads, may swallow a cancellation
    that arrives together with its answer (https://github.com/python/cpython/issues/86296).
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        over, waiting = await asyncio.wait(waiting, timeout=AGAIN_SECONDS)
        await asyncio.gather(*over, return_exceptions=True)
