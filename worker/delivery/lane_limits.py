"""The limits of lanes: how many more attempts a lane may have in this process now."""

from collections.abc import Callable, Container, Mapping, Sequence
from time import perf_counter
from typing import Protocol

from worker.delivery.concurrency_limiter import ConcurrencyLimiter


class FailingLanes(Protocol):
    """The part of the ledger that knows which lanes fail, in any process of the fleet."""

    async def failing(self, lanes: Sequence[str]) -> Container[str]: ...


class LaneLimits:
    """The concurrency limiter together with the ledger's knowledge of lanes that are new to this process."""

    def __init__(
        self, ledger: FailingLanes, limiter: ConcurrencyLimiter, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._ledger = ledger
        self._limiter = limiter
        self._clock = clock

    async def limits(self, lanes: Sequence[str], *, overdue: bool = False) -> Mapping[str, int]:
        """Return how many more attempts each lane may have here; see ConcurrencyLimiter.limits().

        Raises LedgerError if the ledger cannot be asked about new lanes.
        """
        if new := self._limiter.unknown(lanes):
            self._limiter.learn(new, await self._ledger.failing(new))
        return self._limiter.limits(lanes, self._clock(), overdue=overdue)
