"""The calls that lease jobs to this process: those that are pending, and those whose reply was lost."""

from collections.abc import Iterator
from contextlib import contextmanager

#: The most calls with a lost reply that are remembered. Jobs that older ones leased are settled as lost attempts.
UNANSWERED_KEPT = 10_000


class ClaimCalls:
    """Numbers the calls that claim. A job's record has the number of the call that leased it.

    Jobs leased by a call that was answered may have been started. Jobs leased by a call whose reply was lost are never
    started.
    """

    def __init__(self) -> None:
        self._last = 0
        self._under_way: set[int] = set()
        #: Calls whose reply was lost, the oldest first.
        self._unanswered: dict[int, None] = {}

    @contextmanager
    def begun(self) -> Iterator[int]:
        """Record a call as pending while the block runs; yield its number."""
        self._last += 1
        number = self._last
        self._under_way.add(number)
        try:
            yield number
        except BaseException:
            # If the waiting task was cancelled, the reply is lost as well.
            self._unanswered[number] = None
            if len(self._unanswered) > UNANSWERED_KEPT:
                del self._unanswered[next(iter(self._unanswered))]
            raise
        finally:
            self._under_way.discard(number)

    @property
    def oldest(self) -> int:
        """The number of the oldest pending call, else of the next call. All calls before it have ended."""
        return min(self._under_way, default=self._last + 1)

    def was_answered(self, number: int) -> bool:
        """Return whether a call that has ended was answered; True as well if it is no longer remembered."""
        return number not in self._unanswered
