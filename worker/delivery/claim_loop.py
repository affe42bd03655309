"""The claim loop: which lanes want service, in their turn, and how many of their jobs this process takes on."""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from time import perf_counter
from typing import Protocol

import structlog

from worker.delivery.concurrency_limiter import ConcurrencyLimiter
from worker.delivery.settler import LEDGER_RETRY_SECONDS
from worker.domain.claim import Claim
from worker.ledger import LedgerError
from worker.ledger.policy import JOBS_PER_CALL

_log = structlog.get_logger("edw.delivery")

#: Lanes that one claim asks for.
LANES_PER_CLAIM = 50
#: Lanes that have all the slots they may have are looked at again after so long, if nothing ends before (seconds).
PARKED_SECONDS = 0.5


class ClaimableLanes(Protocol):
    """What is asked of the ledger's jobs."""

    async def claim(
        self, lanes: Sequence[str], room: int, limits: Mapping[str, int]
    ) -> tuple[list[Claim], list[str]]: ...

    async def failing(self, lanes: Sequence[str]) -> Container[str]: ...


class AttemptStarter(Protocol):
    """What is asked of whoever carries out what is claimed."""

    @property
    def room(self) -> int:
        """How many more jobs can be started at once."""
        ...

    def reserved(self, wanted: int) -> AbstractContextManager[int]:
        """Keeps up to `wanted` places free for a call that may claim; answers how many."""
        ...

    def start(self, claims: Iterable[Claim]) -> None:
        """Begins the attempts of claimed jobs."""
        ...


class ClaimLoop:
    """Claims from the lanes that it is told of, as soon as there is room, each in its turn."""

    def __init__(
        self,
        lanes: ClaimableLanes,
        flights: AttemptStarter,
        slots: ConcurrencyLimiter,
        pass_on: Callable[[Sequence[str]], None] = lambda _: None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._pass_on = pass_on
        self._lanes = lanes
        self._flights = flights
        self._slots = slots
        self._clock = clock
        self._wanted: dict[str, None] = {}
        #: Lanes with due jobs that have all the slots that they may have here.
        self._parked: dict[str, None] = {}
        #: When they are looked at again.
        self._unpark_at = 0.0
        #: When others may be told of them again.
        self._pass_on_at = 0.0
        self._stirred = asyncio.Event()

    def serve(self, lanes: Iterable[str]) -> None:
        """Has the lanes claimed from."""
        for lane in lanes:
            self._wanted.setdefault(lane)
        if self._wanted:
            self._stirred.set()

    def hand_over(self, lanes: Iterable[str]) -> None:
        """Have lanes claimed from once there is room here, and let other processes know, which may have room now."""
        returned = list(dict.fromkeys(lanes))
        self.serve(returned)
        self._let_others_know(returned)

    def ended(self, lane: str, *, frees_share: bool) -> None:
        """An attempt is over: its lane may have another one, and where it counted in a share, any lane may."""
        if frees_share:
            self._unpark()
        elif lane in self._parked:
            del self._parked[lane]
            self.serve([lane])

    async def limits(self, lanes: Sequence[str], *, overdue: bool = False) -> Mapping[str, int]:
        """How many more attempts each of the lanes may have here (see Slots.limits).

        Raises LedgerError.
        """
        if new := self._slots.unheard_of(lanes):
            self._slots.hear(new, await self._lanes.failing(new))
        return self._slots.limits(lanes, self._clock(), overdue=overdue)

    def stir(self) -> None:
        """There may be room again."""
        self._stirred.set()

    def stop(self) -> None:
        """Forgets what wants service: others will see to it."""
        self._wanted.clear()
        self._parked.clear()

    async def claim_for_ever(self) -> None:
        """Claims until it is cancelled."""
        while True:
            # What is slow may be found suspect meanwhile, which makes room for others, however much is going on.
            if self._parked and self._clock() >= self._unpark_at:
                self._unpark()
            if not self._wanted or not self._flights.room:
                await self._wait()
                continue
            lanes = self._next()
            try:
                limits = await self.limits(lanes, overdue=True)
                self._park(lane for lane in lanes if limits.get(lane) == 0)
                if lanes := [lane for lane in lanes if limits.get(lane) != 0]:
                    with self._flights.reserved(JOBS_PER_CALL) as room:
                        claims, more = await self._lanes.claim(lanes, room, limits)
                        self._flights.start(claims)
                    self.serve(more)
            except LedgerError as error:
                _log.warning("cannot claim", why=str(error))
                self.serve(lanes)
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
            except Exception:  # noqa: BLE001  (a bug; the sweeps announce these lanes again, and others go on)
                _log.exception("cannot claim", lanes=lanes)
                await asyncio.sleep(LEDGER_RETRY_SECONDS)

    async def _wait(self) -> None:
        """Waits for something to do."""
        self._stirred.clear()
        seconds = max(0.0, self._unpark_at - self._clock()) if self._parked else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()

    def _unpark(self) -> None:
        if self._parked:
            parked, self._parked = self._parked, {}
            self.serve(parked)

    def _next(self) -> list[str]:
        lanes = list(self._wanted)[:LANES_PER_CLAIM]
        for lane in lanes:
            del self._wanted[lane]
        return lanes

    def _park(self, lanes: Iterable[str]) -> None:
        """Puts lanes aside that may have no more here for now.

        It was this process that was woken for them: others may have slots for them, and are told.
        """
        now = self._clock()
        if not self._parked:
            self._unpark_at = now + PARKED_SECONDS
        self._parked |= dict.fromkeys(lanes)
        self._let_others_know(list(self._parked))

    def _let_others_know(self, lanes: Sequence[str]) -> None:
        now = self._clock()
        if lanes and now >= self._pass_on_at:
            self._pass_on_at = now + PARKED_SECONDS
            self._pass_on(lanes)
