"""This process's lease, as its own clock sees it: the fence in front of every attempt.

The ledger's lease of a process runs from when Redis runs the script that renews it. This process counts from before it
sent the call, so it never believes in its lease for longer than the ledger does. The clock goes on while the machine
sleeps and never goes back, and a process that was stopped reads it after it continues.

A lease that ran out and was renewed later is another *term*. In between, other processes may have taken over the jobs,
so claims of an earlier term are worthless.
"""

import time
from collections.abc import Callable

#: The term of a claim whose reply came so late that its lease may have run out.
NO_TERM = 0
#: Share of a lease that this process does not use: clocks differ in speed, and Redis's counts whole milliseconds.
MARGIN = 0.01


def boot_seconds() -> float:
    """Return the seconds since boot, times of sleep included; without such a clock, those of the monotonic clock."""
    return time.clock_gettime(_CLOCK)


#: Only Linux has it.
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Lease:
    """The lease of one process, of so many seconds from each renewal.

    Args:
        seconds: The length of the ledger's lease.
        clock: Returns a time that never goes back (seconds).
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = boot_seconds) -> None:
        self._seconds = seconds * (1 - MARGIN)
        self._clock = clock
        self._ends_at = float("-inf")
        self._term = NO_TERM

    @property
    def term(self) -> int:
        """The number of the latest term; NO_TERM before the first."""
        return self._term

    def now(self) -> float:
        """Return the time to pass to `renewed()`; read it before the call is sent."""
        return self._clock()

    def renewed(self, asked_at: float, *, lost: bool = False) -> int:
        """Record the reply of a call that renewed the lease; return the term that the call's claims belong to.

        Args:
            asked_at: The time before the call was sent.
            lost: Whether the ledger had lost or ended the lease before the call.
        """
        now, end = self._clock(), asked_at + self._seconds
        if end <= now:
            return NO_TERM
        if lost or self._ends_at <= now:
            self._term += 1
        self._ends_at = max(self._ends_at, end)
        return self._term

    def covers(self, term: int) -> bool:
        """Return whether the lease is alive, and has been since a claim of that term was made."""
        return term == self._term and self._clock() < self._ends_at
