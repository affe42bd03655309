"""The calls by which this process may be given jobs: which of them are under way, and whose reply was lost."""

from collections.abc import Iterator
from contextlib import contextmanager

#: Of so many calls whose reply was lost it is known; what older ones were given is settled as lost with its worker.
UNANSWERED_KEPT = 10_000


class ClaimCalls:
    """Numbers the calls that claim. A job keeps the number of the one that it was leased by.

    What came with a reply may have been begun. What a call was given whose reply was lost was not, and never will be.
    """

    def __init__(self) -> None:
        self._last = 0
        self._under_way: set[int] = set()
        #: In their order.
        self._unanswered: dict[int, None] = {}

    @contextmanager
    def begun(self) -> Iterator[int]:
        """Notes a call for as long as its reply may come; answers its number."""
        self._last += 1
        number = self._last
        self._under_way.add(number)
        try:
            yield number
        except BaseException:
            # A reply that nobody waits for any more is lost as well.
            self._unanswered[number] = None
            if len(self._unanswered) > UNANSWERED_KEPT:
                del self._unanswered[next(iter(self._unanswered))]
            raise
        finally:
            self._under_way.discard(number)

    @property
    def oldest(self) -> int:
        """The number of the oldest call under way, or of the next one: all before it have ended."""
        return min(self._under_way, default=self._last + 1)

    def was_answered(self, number: int) -> bool:
        """Whether the reply of a call that has ended is known to have come, or not known to be lost."""
        return number not in self._unanswered
