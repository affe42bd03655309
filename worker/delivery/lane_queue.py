"""The queue of lanes that wait for service from this process."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from math import inf
from time import perf_counter

#: Parked lanes get another turn after this time (seconds), or earlier when an attempt ends.
PARKED_SECONDS = 0.5


class LaneQueue:
    """A queue of lanes without duplicates, which one claim loop reads.

    A lane is *parked* while it uses all the slots that it may use in this process. A lane that has no ready job yet
    waits for its time.

    Args:
        pass_on: Announces lanes to other processes, which may have slots for them.
        clock: Returns a time that never goes back (seconds).
    """

    def __init__(
        self,
        pass_on: Callable[[Sequence[str]], None] = lambda _: None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._pass_on = pass_on
        self._clock = clock
        self._waiting: dict[str, None] = {}
        self._parked: dict[str, None] = {}
        #: When lanes are due that wait for their time, and the same as a heap, which may also have outdated times.
        self._due_at: dict[str, float] = {}
        self._timers: list[tuple[float, str]] = []
        self._unpark_at = 0.0
        #: The earliest time of the next announcement to other processes.
        self._pass_on_at = 0.0
        self._woken = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether no lane waits for its turn; parked lanes do not count."""
        return not self._waiting

    def put(self, lanes: Iterable[str]) -> None:
        """Append the lanes that are not queued already."""
        for lane in lanes:
            self._waiting.setdefault(lane)
        if self._waiting:
            self._woken.set()

    def take(self, most: int) -> list[str]:
        """Remove and return the lanes whose turn it is, at most `most`."""
        lanes = list(self._waiting)[:most]
        for lane in lanes:
            del self._waiting[lane]
        return lanes

    def park(self, lanes: Iterable[str]) -> None:
        """Set lanes aside that may have no more slots for now, and announce them to other processes.

        The wake-up for these lanes came to this process, but others may have slots for them.
        """
        if not self._parked:
            self._unpark_at = self._clock() + PARKED_SECONDS
        self._parked |= dict.fromkeys(lanes)
        self._let_others_know(list(self._parked))

    def put_later(self, lanes: Mapping[str, float]) -> None:
        """Append each lane after its time (seconds). Of several times of a lane the earliest counts."""
        now = self._clock()
        for lane, seconds in lanes.items():
            at = now + seconds
            if at < self._due_at.get(lane, inf):
                self._due_at[lane] = at
                heappush(self._timers, (at, lane))
        if lanes:
            self._woken.set()

    def put_due(self) -> None:
        """Append the lanes whose time has come, and parked lanes once they have waited long enough.

        While lanes are parked, a lane with a slow attempt may become suspect, which frees a slot for others.
        """
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            at, lane = heappop(self._timers)
            if self._due_at.get(lane) == at:
                del self._due_at[lane]
                self.put([lane])
        if self._parked and now >= self._unpark_at:
            self._unpark()

    def attempt_ended(self, lane: str, *, frees_share: bool) -> None:
        """Put parked lanes back into the queue after an attempt of `lane`.

        Args:
            lane: The lane of the attempt; it may have another attempt now.
            frees_share: Whether the attempt counted in a share of several lanes; then any parked lane may have one now.
        """
        if frees_share:
            self._unpark()
        elif lane in self._parked:
            del self._parked[lane]
            self.put([lane])

    def hand_over(self, lanes: Iterable[str]) -> None:
        """Append lanes whose jobs were given back, and announce them to other processes, which may have free slots."""
        returned = list(dict.fromkeys(lanes))
        self.put(returned)
        self._let_others_know(returned)

    def clear(self) -> None:
        """Forget all lanes: other processes will serve them."""
        self._waiting.clear()
        self._parked.clear()
        self._due_at.clear()
        self._timers.clear()

    def wake(self) -> None:
        """Wake the reader, because it may have a free slot again."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait until there may be something to do."""
        self._woken.clear()
        next_at = [self._unpark_at] if self._parked else []
        if self._timers:
            next_at.append(self._timers[0][0])
        seconds = max(0.0, min(next_at) - self._clock()) if next_at else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _unpark(self) -> None:
        if self._parked:
            parked, self._parked = self._parked, {}
            self.put(parked)

    def _let_others_know(self, lanes: Sequence[str]) -> None:
        now = self._clock()
        if lanes and now >= self._pass_on_at:
            self._pass_on_at = now + PARKED_SECONDS
            self._pass_on(lanes)
