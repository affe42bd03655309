"""Redis' clock, as this process knows it without asking.

Events are stamped by Redis' clock, and attempts are timed by this process's. A delay from one to the other is only
as good as what is known of their difference, so it is measured again and again: an answer that carries Redis' time
was made between its question and its arrival, and half of that round trip is the error. Between two answers the
process's monotonic clock goes on, whatever somebody does to its wall clock.
"""

from time import perf_counter


class RedisClock:
    """Moments of this process's `perf_counter()` as times of Redis."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def note(self, asked: float, answered: float, redis_time: float) -> None:
        """Takes an answer that came with Redis' time (seconds since 1970); moments are of `perf_counter()`."""
        self._offset = redis_time - (asked + answered) / 2

    def since(self, redis_time: float, moment: float | None = None) -> float | None:
        """Seconds from a time of Redis to a moment (now), never negative; None while nothing is known of it."""
        if self._offset is None:
            return None
        return max(0.0, (perf_counter() if moment is None else moment) + self._offset - redis_time)
