"""The queue of lanes that wait for service from this process."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from itertools import islice
from math import inf
from time import perf_counter

from worker.delivery.concurrency_limiter import REMEMBERED
from worker.delivery.lane_trust import Trust
from worker.delivery.lane_turns import LaneTurns
from worker.delivery.parked_lanes import ParkedLanes
from worker.ledger.policy import MAX_IDS_PER_MESSAGE

#: Lanes that wait for no share get another turn after this time (seconds), or earlier when an attempt of theirs ends.
PARKED_SECONDS = 0.5
#: So many of them at a time, so that the cost does not grow with their number.
PARKED_LOOKED_AT = 50


class LaneQueue:
    """A queue of lanes without duplicates, which one claim loop reads. Lanes are taken from their stores in turn.

    A lane is *parked* while it may have no more slots in this process: because its share of the slots is used up, or
    because it waits for its own attempts, or until fewer slots are in use. A lane that has no ready job yet waits for
    its time.

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
        #: Whether there is no other process that could have slots for parked lanes.
        self.alone = False
        self._store_of: OrderedDict[str, str] = OrderedDict()
        #: Lanes that wait until their store is known.
        self._strangers: dict[str, None] = {}
        self._waiting = LaneTurns()
        self._parked = ParkedLanes()
        #: When lanes are due that wait for their time, and the same as a heap, which may also have outdated times.
        self._due_at: dict[str, float] = {}
        self._timers: list[tuple[float, str]] = []
        self._unpark_at = 0.0
        #: When a lane was last put into the queue.
        self._put_at = -inf
        #: Lanes to announce to other processes, and the earliest time of the next announcement.
        self._to_pass_on: dict[str, None] = {}
        self._pass_on_at = 0.0
        self._woken = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether no lane waits for its turn; parked lanes do not count."""
        return not self._waiting and not self._strangers

    @property
    def waiting(self) -> int:
        """The number of lanes that wait for their turn; parked lanes do not count."""
        return len(self._waiting) + len(self._strangers)

    @property
    def waits_for_shares(self) -> bool:
        """Whether lanes are parked that wait for a slot of a share."""
        return len(self._parked) > self._parked.waiting_for(None)

    def quiet_for(self, seconds: float) -> bool:
        """Return whether no lane has had to wait for service in this time."""
        return self._clock() >= self._put_at + seconds

    def belong(self, stores: Mapping[str, str]) -> None:
        """Learn the stores (Scope.key) of lanes."""
        for lane, store in stores.items():
            self._store_of[lane] = store
            self._store_of.move_to_end(lane)
        while len(self._store_of) > REMEMBERED:
            self._store_of.popitem(last=False)

    def take_strangers(self) -> list[str]:
        """Remove and return lanes whose store must be learned before they are put back, at most one message's worth."""
        taken = list(islice(self._strangers, MAX_IDS_PER_MESSAGE))
        self._strangers = dict.fromkeys(islice(self._strangers, len(taken), None))
        return taken

    def put(self, lanes: Iterable[str]) -> None:
        """Append the lanes that are not queued and not parked already."""
        for lane in lanes:
            self._put_at = self._clock()
            if lane in self._parked:
                continue
            store = self._store_of.get(lane)
            if store is None:
                self._strangers[lane] = None
            else:
                self._waiting.add(lane, store)
        if not self.is_empty:
            self._woken.set()

    def take(self, most: int, most_of: Callable[[str], float] = lambda _: inf) -> list[str]:
        """Remove and return the lanes whose turn it is: at most `most`, and of each store at most `most_of` it."""
        return self._waiting.take(most, most_of)

    def store_of(self, lane: str) -> str:
        """Return the store of a lane; empty if it is not known."""
        return self._store_of.get(lane, "")

    def park(self, lanes: Mapping[str, Trust | None]) -> None:
        """Set lanes aside that may have no more slots for now, with the share that each waits for.

        The wake-up for these lanes came to this process, but others may have slots for them. So they are announced to
        other processes if there are any, at most one message's worth.
        """
        if lanes and not self._parked.waiting_for(None):
            self._unpark_at = self._clock() + PARKED_SECONDS
        for lane, share in lanes.items():
            self._parked.add(lane, share, self._store_of.get(lane, ""))
        if not self.alone:
            self._let_others_know(lanes)

    def unpark(self, free: Mapping[Trust, int]) -> None:
        """Append as many of the lanes that wait for a share as the share has free slots."""
        for share, slots in free.items():
            if slots > 0:
                self.put(self._parked.take(share, slots))

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
        """Append the lanes whose time has come, and some that wait for no share and have waited long enough.

        When other lanes are suspect no more, a suspect lane may have more slots before one of its attempts ends.
        """
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            at, lane = heappop(self._timers)
            if self._due_at.get(lane) == at:
                del self._due_at[lane]
                self.put([lane])
        if now >= self._unpark_at and self._parked.waiting_for(None):
            self._unpark_at = now + PARKED_SECONDS
            self.put(self._parked.take(None, PARKED_LOOKED_AT))
        self._let_others_know(())

    def attempt_ended(self, lane: str, *, frees_share: bool) -> None:
        """Put the lane of an attempt back into the queue if it is parked: it may have another attempt now.

        `frees_share` means that the attempt counted in a share of several lanes; then another lane may have its slot.
        """
        if self._parked.discard(lane):
            self.put([lane])
        if frees_share and self.waits_for_shares:
            self._woken.set()

    def hand_over(self, lanes: Iterable[str]) -> None:
        """Append lanes whose jobs were given back, and announce them to other processes, which may have free slots."""
        returned = list(dict.fromkeys(lanes))
        self.put(returned)
        self._let_others_know(returned)

    def clear(self) -> None:
        """Forget all lanes: other processes will serve them."""
        self._waiting.clear()
        self._parked.clear()
        self._strangers.clear()
        self._due_at.clear()
        self._timers.clear()
        self._to_pass_on.clear()

    def wake(self) -> None:
        """Wake the reader, because it may have a free slot again."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait until there may be something to do.

        While lanes are parked, a lane with a slow attempt may become suspect, which frees a slot for others.
        """
        self._woken.clear()
        seconds = PARKED_SECONDS if self._parked else None
        if self._timers:
            seconds = max(0.0, min(self._timers[0][0] - self._clock(), inf if seconds is None else seconds))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _let_others_know(self, lanes: Iterable[str]) -> None:
        now = self._clock()
        for lane in lanes:
            if len(self._to_pass_on) < MAX_IDS_PER_MESSAGE:
                self._to_pass_on[lane] = None
        if self._to_pass_on and now >= self._pass_on_at:
            self._pass_on_at = now + PARKED_SECONDS
            announced, self._to_pass_on = self._to_pass_on, {}
            self._pass_on(list(announced))
