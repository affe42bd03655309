"""Waiting for a condition: `eventually` in an event loop, `wait_until` without one.

Both fail with a sentence that says what did not happen. Neither is an assertion about time: `PATIENCE` is only how long
a broken test takes to fail.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, sleep
from typing import Any

#: A busy machine may take its time; nothing here is expected to need so long (seconds).
PATIENCE = 120.0
#: The pause between two looks (seconds).
LOOK_SECONDS = 0.02


async def eventually(condition: Callable[[], Awaitable[Any] | Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first true answer of `condition`, which may be awaitable; fail with `what` where there is none."""
    end = monotonic() + seconds
    while monotonic() < end:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def wait_until(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = PATIENCE) -> Any:
    """Return the first true answer of `condition`, and block meanwhile; fail with `what` where there is none."""
    end = monotonic() + seconds
    while not (found := condition()):
        if monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        sleep(LOOK_SECONDS)
    return found
