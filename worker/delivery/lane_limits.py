"""The limits of lanes: how many more attempts a lane may have in this process now."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Protocol

from worker.delivery.concurrency_limiter import ConcurrencyLimiter
from worker.delivery.lane_queue import LaneQueue
from worker.delivery.lane_trust import Trust
from worker.ledger.lanes.claims import LaneStanding


class KnownLanes(Protocol):
    """The part of the ledger that knows whose lanes they are, and how they did in any process of the fleet."""

    async def standings(self, lanes: Sequence[str]) -> Mapping[str, LaneStanding]: ...


class LaneLimits:
    """The concurrency limiter together with the ledger's knowledge of lanes that are new to this process.

    The queue learns the lanes' stores.
    """

    def __init__(
        self,
        ledger: KnownLanes,
        limiter: ConcurrencyLimiter,
        queue: LaneQueue,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._ledger = ledger
        self._limiter = limiter
        self._queue = queue
        self._clock = clock

    async def learn(self, lanes: Sequence[str]) -> None:
        """Ask the ledger about lanes that are new to this process. Raises LedgerError."""
        known = await self._ledger.standings(lanes)
        # The ledger may have deleted a lane. It belongs to no store then, and a claim finds nothing in it.
        self._queue.belong({lane: known[lane].scope_key if lane in known else "" for lane in lanes})
        self._limiter.learn(lanes, {lane: each.did_well for lane, each in known.items()})

    async def limits(self, lanes: Sequence[str], *, overdue: bool = False) -> Mapping[str, int]:
        """Return how many more attempts each lane may have here; see ConcurrencyLimiter.limits().

        Raises LedgerError if the ledger cannot be asked about new lanes.
        """
        if new := self._limiter.unknown(lanes):
            await self.learn(new)
        return self._limiter.limits(lanes, self._clock(), overdue=overdue)

    def free(self) -> Mapping[Trust, int]:
        """Return how many slots are free in each share; see ConcurrencyLimiter.free()."""
        return self._limiter.free(self._clock())

    def waits_for(self, lanes: Sequence[str]) -> Mapping[str, Trust | None]:
        """Return what each of the lanes waits for; see ConcurrencyLimiter.waits_for()."""
        now = self._clock()
        return {lane: self._limiter.waits_for(lane, now) for lane in lanes}
