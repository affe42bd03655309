"""An estimate of Redis' clock that needs no round trip.

Events have timestamps of Redis' clock, and attempts are timed by this process's. A delay between the two is only as
exact as the known difference of the clocks, which is therefore measured repeatedly. An answer with Redis' time was made
between the question and its arrival, so the error is at most half of the round trip. Between two answers, the process's
monotonic clock continues, which changes of the wall clock do not affect.
"""

from time import perf_counter


class RedisClock:
    """The offset between this process's `perf_counter()` and Redis' time."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def note(self, asked: float, answered: float, redis_time: float) -> None:
        """Use an answer with Redis' time (seconds since 1970); `asked` and `answered` are of `perf_counter()`."""
        self._offset = redis_time - (asked + answered) / 2

    def since(self, redis_time: float, moment: float | None = None) -> float | None:
        """Return the seconds from a time of Redis to a moment (default now), at least 0; None without a measurement."""
        if self._offset is None:
            return None
        return max(0.0, (perf_counter() if moment is None else moment) + self._offset - redis_time)
