"""How many attempts a process takes on: all that its settings allow, and fewer while it lacks a resource of its own.

As TCP does for a network: half of what was under way once something is lacking, and one more for each few attempts that
reach their receivers. After a lack nothing is claimed for a pause that doubles until an attempt gets through.

No I/O, and no clock: `now` is an argument, in seconds.
"""

#: The part of what was under way that may still be, after a lack.
SHRINK = 0.5
#: The limit grows by one for so many attempts that reach their receivers.
ATTEMPTS_FOR_ONE_MORE = 10
#: Seconds without claims after the first lack; each further one doubles them, as far as the longest.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
#: Seconds between two log lines about it.
LOG_SECONDS = 1.0


class InFlightLimit:
    """Attempts that may be under way in one process, `most` at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._pause = 0.0
        self._paused_until = 0.0
        #: Lacks that no log line has counted yet, and when the next line may be written.
        self._unlogged = 0
        self._log_at = 0.0

    @property
    def current(self) -> int:
        """How many may be under way, but for a pause."""
        return int(self._limit)

    def at(self, now: float) -> int:
        """How many may be under way now: none are begun during a pause."""
        return 0 if now < self._paused_until else self.current

    def lacking(self, under_way: int, now: float) -> float:
        """An attempt could not be made while so many were under way.

        Returns the pause that begins now (seconds), or 0 where one is on already: many attempts fail of one lack.
        """
        self._unlogged += 1
        if now < self._paused_until:
            return 0.0
        self._limit = max(1.0, min(self._limit, under_way) * SHRINK)
        self._pause = min(2 * self._pause or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._paused_until = now + self._pause
        return self._pause

    def reached(self) -> None:
        """An attempt reached its receiver."""
        self._pause = 0.0
        self._limit = min(float(self._most), self._limit + 1 / ATTEMPTS_FOR_ONE_MORE)

    def to_log(self, now: float) -> int:
        """Return how many lacks the log line counts that may be written now; 0 where it is too early for one."""
        if now < self._log_at:
            return 0
        counted, self._unlogged = self._unlogged, 0
        self._log_at = now + LOG_SECONDS
        return counted
