"""The work of a call, as the CPU time that this thread spends on it.

It would be better to count steps. Nothing that Python has counts them inside of C: neither `re` nor msgspec runs
bytecode, tracing and profiling see one call, and counters of the processor are closed to most containers. CPU time
goes on only while this thread runs, so that a busy machine does not lengthen it as it does the time of a clock. The
smallest of several runs leaves out what other work did to the caches. Ten times the input is ten times the work for
a linear parser, and up to 25 times where its result no longer fits into the caches. It is a hundred times for the
mildest that is not linear.
"""

import gc
from collections.abc import Callable
from time import thread_time
from typing import Any

#: Bytes of the inputs that are compared. The small ones find what would not come to an end with the large ones.
SIZES = (1_000, 10_000, 100_000, 1_000_000)
#: How many times the work may be for ten times the input.
BOUND = 50.0
#: Seconds; less work than this looks like none.
_FLOOR = 0.0002
_RUNS = 3
#: A second look at what seems too much: it was, or the machine did something else meanwhile.
_LOOKS = 2
#: Seconds; so much work is measured once.
_LONG = 0.1


def growth(run: Callable[[Any], object], worst: Callable[[int], Any]) -> tuple[float, int]:
    """Return the largest growth of work between neighbouring sizes, and the larger of those sizes.

    It ends at the first growth over the bound.
    """
    largest = (0.0, 0)
    before = max(_FLOOR, _work(run, worst(SIZES[0])))
    for size in SIZES[1:]:
        given = worst(size)
        for _ in range(_LOOKS):
            now = max(_FLOOR, _work(run, given))
            if now / before <= BOUND:
                break
            before = max(before, _work(run, worst(size // 10)))
        largest = max(largest, (now / before, size))
        if now / before > BOUND:
            break
        before = now
    return largest


def _work(run: Callable[[Any], object], given: Any) -> float:
    found = []
    gc.disable()
    try:
        for _ in range(_RUNS):
            began = thread_time()
            run(given)
            found.append(thread_time() - began)
            if found[-1] > _LONG:
                break
    finally:
        gc.enable()
    return min(found)
