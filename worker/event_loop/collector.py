"""The cyclic garbage collector of a worker or API process: rare enough for throughput, often enough for memory."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Allocations before the collector looks at the youngest objects, and how often older ones are looked at.
THRESHOLDS = (50_000, 20, 100)
#: When the collector is made to look less often, after the start (seconds): looking at everything that was imported
#: takes a tenth of a second, which the first delivery does not have to wait for.
RELAX_SECONDS = 1.5
#: Young objects are looked at this often (seconds), however few they are.
COLLECT_SECONDS = 2.0
#: The oldest generation that is looked at then.
_YOUNG = 1


def relax() -> None:
    """Make the cyclic collector look less often.

    Hundreds of attempts in flight are tens of thousands of young objects, which live for milliseconds and hardly ever
    form a cycle. With its defaults the collector walks them, and everything that is imported, again and again: a fifth
    of the processor time of a delivery.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def resting() -> Iterator[None]:
    """Disable the collector while a block imports: that makes hundreds of thousands of objects, and they stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def rest_until_attended() -> None:
    """Disable the collector for the start of a process that calls attend() in any case."""
    gc.disable()


async def attend() -> None:
    """Enable and relax the collector a while after the start, and then collect regularly, until cancelled."""
    try:
        await asyncio.sleep(RELAX_SECONDS)
    finally:
        gc.enable()
    relax()
    await collect_regularly()


async def collect_regularly(seconds: float = COLLECT_SECONDS) -> None:
    """Collect young objects every so many seconds, until cancelled.

    The collector counts objects, not bytes. An exception and its traceback form a cycle easily, and may hold a message
    of a megabyte: hundreds of those would wait for the next 50,000 allocations.
    """
    done = _collections()
    while True:
        await asyncio.sleep(seconds)
        if _collections() == done:
            gc.collect(_YOUNG)
        done = _collections()


def _collections() -> int:
    return int(gc.get_stats()[_YOUNG]["collections"])
