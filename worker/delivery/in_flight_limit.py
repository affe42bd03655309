"""The limit of attempts in flight: what the settings allow, and less while the process lacks a resource of its own.

It works like TCP's congestion control. When a resource is lacking, the limit becomes half of the attempts under way.
Then it grows by one for every few attempts that reach their receivers. After a lack the process claims nothing for a
pause; the pause doubles with each lack until an attempt reaches its receiver.

No I/O, and no clock: `now` is an argument, in seconds.
"""

from deliverers.backoff import Backoff

#: The limit after a lack, as a share of the attempts under way.
SHRINK = 0.5
#: How many attempts must reach their receivers until the limit grows by one.
ATTEMPTS_FOR_ONE_MORE = 10
#: Pauses without claims after lacks in a row.
BACKOFF = Backoff(first=0.1, longest=5.0)
#: The shortest time between two log lines about lacks (seconds).
LOG_SECONDS = 1.0


class InFlightLimit:
    """The limit of attempts in flight in one process; it is never above `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        #: Pauses since an attempt last reached its receiver.
        self._pauses = 0
        self._paused_until = 0.0
        #: Lacks that no log line has counted yet, and the earliest time of the next line.
        self._unlogged = 0
        self._log_at = 0.0

    @property
    def current(self) -> int:
        """The limit, without regard to a pause."""
        return int(self._limit)

    def at(self, now: float) -> int:
        """Return the limit now: 0 during a pause."""
        return 0 if now < self._paused_until else self.current

    def lacking(self, under_way: int, now: float) -> float:
        """Record that an attempt could not be made while `under_way` attempts were under way.

        Returns the pause that begins now (seconds). Returns 0 during a pause: one lack makes many attempts fail.
        """
        self._unlogged += 1
        if now < self._paused_until:
            return 0.0
        self._limit = max(1.0, min(self._limit, under_way) * SHRINK)
        self._pauses += 1
        pause = BACKOFF.pause(self._pauses)
        self._paused_until = now + pause
        return pause

    def reached(self) -> None:
        """Record that an attempt reached its receiver."""
        self._pauses = 0
        self._limit = min(float(self._most), self._limit + 1 / ATTEMPTS_FOR_ONE_MORE)

    def to_log(self, now: float) -> int:
        """Return the number of lacks for a log line to write now; 0 if it is too early for one."""
        if now < self._log_at:
            return 0
        counted, self._unlogged = self._unlogged, 0
        self._log_at = now + LOG_SECONDS
        return counted
