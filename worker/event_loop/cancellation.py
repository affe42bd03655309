"""Reliable cancellation of asyncio tasks."""

import asyncio
from collections.abc import Iterable

#: Time after which a task that a cancellation did not end is cancelled again (seconds).
AGAIN_SECONDS = 0.1


async def end(tasks: Iterable["asyncio.Task[object]"]) -> None:
    """Cancel tasks until all have ended, and ignore their exceptions.

    One cancellation is not enough. On Python 3.11 `asyncio.wait_for`, which redis-py uses to read, may swallow a
    cancellation that arrives together with its result (https://github.com/python/cpython/issues/86296).
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        over, waiting = await asyncio.wait(waiting, timeout=AGAIN_SECONDS)
        await asyncio.gather(*over, return_exceptions=True)
