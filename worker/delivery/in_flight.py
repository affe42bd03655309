"""The attempts in flight in this process, and the free slots."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from time import monotonic

from worker.delivery.in_flight_limit import InFlightLimit
from worker.delivery.store_slots import StoreSlots
from worker.domain.claim import Claim


@dataclass(slots=True)
class InFlightAttempt:
    """An attempt in flight."""

    claim: Claim
    #: The places that it takes in the pool: several for a large event.
    slots: int = 1
    #: When the deliverer was called (perf_counter()); None before that: nothing was sent yet.
    started: float | None = None
    task: "asyncio.Task[None] | None" = None
    #: The integration's own time limit in seconds, once it is known; None for the process's.
    timeout: float | None = None
    #: Whether it was cancelled long after its deadline.
    overdue: bool = False

    @property
    def name(self) -> str:
        """The job's id and the attempt's number: a job whose lease ran out may have two attempts under way."""
        return _name(self.claim)


class InFlightPool:
    """The attempts in flight, from their claim until they are settled or given back. The pool starts nothing itself.

    Args:
        most: The most attempts in flight.
        most_bytes: The most bytes of their events. Each of the `most` slots stands for an equal part of these bytes, so
            a larger event takes several slots.
    """

    def __init__(self, most: int, most_bytes: float = inf) -> None:
        self.limit = InFlightLimit(most)
        self._slot_bytes = most_bytes / max(1, most)
        self._attempts: dict[str, InFlightAttempt] = {}
        self._used = 0
        self._stores = StoreSlots()
        self._reserved = 0
        #: When each pending call began that may lease jobs (monotonic seconds).
        self._calls: dict[object, float] = {}
        #: The number of attempts that run alone or wait to do so.
        self._alone = 0
        self._one_alone = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[InFlightAttempt]:
        return iter(self._attempts.values())

    @property
    def room(self) -> int:
        """The number of attempts that can be started now."""
        if self._closed or self._alone:
            return 0
        return max(0, self.limit.at(monotonic()) - self._used - self._reserved)

    def room_by_store(self) -> Callable[[str], int]:
        """Return a function of a store (Scope.key): the number of its attempts that can be started now."""
        return partial(self._stores.room_of, free=self.room, total=self.limit.current)

    @property
    def closed(self) -> bool:
        """Whether the pool has stopped taking claims."""
        return self._closed

    @property
    def job_ids(self) -> set[str]:
        """The ids of the jobs in flight."""
        return {each.claim.job_id for each in self._attempts.values()}

    @property
    def calling_since(self) -> float:
        """When the oldest pending call began that may lease jobs (monotonic seconds); infinite if none is pending."""
        return min(self._calls.values(), default=inf)

    def add(self, claim: Claim) -> InFlightAttempt:
        """Add the attempt of a claim."""
        size = len(claim.event.event.raw) if claim.event else 0
        attempt = InFlightAttempt(claim, max(1, ceil(size / self._slot_bytes)))
        self._attempts[attempt.name] = attempt
        self._used += attempt.slots
        self._stores.take(claim.scope_key, attempt.slots)
        return attempt

    def remove(self, claims: Iterable[Claim]) -> None:
        """Remove the attempts of claims that are settled or given back."""
        for claim in claims:
            if attempt := self._attempts.pop(_name(claim), None):
                self._used -= attempt.slots
                self._stores.give_back(attempt.claim.scope_key, attempt.slots)
        self._changed.set()

    def close(self) -> None:
        """Take no more claims; attempts in flight go on."""
        self._closed = True

    @contextmanager
    def reserved(self, wanted: int) -> Iterator[int]:
        """Reserve up to `wanted` places for a call that may lease jobs; yield their number."""
        room, call = min(wanted, self.room), object()
        self._reserved += room
        self._calls[call] = monotonic()
        try:
            yield room
        finally:
            del self._calls[call]
            self._reserved -= room
            self._changed.set()

    async def wait_for_calls(self) -> None:
        """Wait until no call that may lease jobs is pending."""
        await self._wait_until(lambda: not self._reserved)

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in flight."""
        await self._wait_until(lambda: not self._attempts)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run the block once no other attempt is in flight, except those that wait to run alone as well.

        The caller's attempt is in the pool. No attempt is started until the block has ended.
        """
        self._alone += 1
        try:
            async with self._one_alone:
                await self._wait_until(lambda: len(self._attempts) <= self._alone)
                yield
        finally:
            self._alone -= 1

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


def _name(claim: Claim) -> str:
    return f"{claim.job_id}:{claim.attempt}"
