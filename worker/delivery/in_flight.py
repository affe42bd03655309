"""The attempts that are in flight in this process, and how much room there is for more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import inf
from time import monotonic

from worker.delivery.in_flight_limit import InFlightLimit
from worker.domain.claim import Claim


@dataclass(slots=True)
class InFlightAttempt:
    """An attempt under way."""

    claim: Claim
    #: A moment of perf_counter(); None until the deliverer has it: until then, nothing was sent.
    started: float | None = None
    task: "asyncio.Task[None] | None" = None
    #: It was cut off, long after its deadline.
    overdue: bool = False

    @property
    def name(self) -> str:
        """Its job and number: a job whose lease ran out may have two attempts under way."""
        return _name(self.claim)


class InFlightPool:
    """The attempts in flight, from their claim until they are settled or given back. It starts nothing itself.

    Args:
        most: Attempts that may be in flight at once.
    """

    def __init__(self, most: int) -> None:
        self.limit = InFlightLimit(most)
        self._attempts: dict[str, InFlightAttempt] = {}
        self._reserved = 0
        #: When each call began that may still bring claims (monotonic seconds).
        self._calls: dict[object, float] = {}
        #: Attempts that want to run, or run, with nothing beside them.
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
        """Attempts that can be started now."""
        if self._closed or self._alone:
            return 0
        return max(0, self.limit.at(monotonic()) - len(self._attempts) - self._reserved)

    @property
    def closed(self) -> bool:
        """True once nothing more is taken."""
        return self._closed

    @property
    def job_ids(self) -> set[str]:
        """The jobs in flight."""
        return {each.claim.job_id for each in self._attempts.values()}

    @property
    def calling_since(self) -> float:
        """When the oldest call began that may still bring claims (monotonic seconds); infinite where none may."""
        return min(self._calls.values(), default=inf)

    def add(self, claim: Claim) -> InFlightAttempt:
        """Take a claim."""
        attempt = InFlightAttempt(claim)
        self._attempts[attempt.name] = attempt
        return attempt

    def remove(self, claims: Iterable[Claim]) -> None:
        """Let go of claims that are settled or given back."""
        for claim in claims:
            self._attempts.pop(_name(claim), None)
        self._changed.set()

    def close(self) -> None:
        """Take nothing more; what is in flight goes on."""
        self._closed = True

    @contextmanager
    def reserved(self, wanted: int) -> Iterator[int]:
        """Keep up to `wanted` places free for a call that may bring claims; yields how many."""
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
        """Wait until no call that may bring claims is under way."""
        await self._wait_until(lambda: not self._reserved)

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in flight."""
        await self._wait_until(lambda: not self._attempts)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run the block, for an attempt of the pool, once all others that are in flight want to run alone as well.

        Nothing is started from now on until the block has ended.
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
