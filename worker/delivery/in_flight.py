"""Jobs into outcomes: has carried out what is claimed, and settled what came of it. Everything that is in flight."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from random import Random
from time import monotonic, perf_counter
from typing import Protocol

import structlog

from worker.cancellation import end
from worker.delivery import claim_loop
from worker.delivery.attempt import Attempt
from worker.delivery.attempt_runner import AttemptRunner, InFlightAttempt, TargetLookup
from worker.delivery.claim_loop import ClaimLoop
from worker.delivery.concurrency_limiter import ConcurrencyLimiter
from worker.delivery.settler import SettlementWriter, Settler
from worker.domain.retry_policy import RetryPolicy
from worker.ledger import Claim, LedgerError
from worker.telemetry.tracing import Traces

_log = structlog.get_logger("edw.delivery")

#: A job that was lost with its worker so often is run with nothing beside it.
LOSSES_BEFORE_ALONE = 3
#: How long the last settlements, of what was interrupted too, may take when the process stops (seconds).
SETTLE_ON_STOP_SECONDS = 5.0


class JobLedger(SettlementWriter, claim_loop.ClaimableLanes, Protocol):
    """What is asked of the ledger's jobs."""

    async def release(self, claims: Sequence[tuple[str, int]]) -> int: ...


class InFlightPool:
    """Everything that this process has in flight."""

    def __init__(
        self,
        lanes: JobLedger,
        targets: TargetLookup,
        policy: RetryPolicy,
        report: Callable[[Attempt, str], None],
        max_in_flight: int,
        timeout: float,
        traces: Traces | None = None,
        pass_on: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        """`pass_on` tells other processes of lanes for which this one has no slots now."""
        self._lanes = lanes
        # Jitter is no secret.
        self._carrier = AttemptRunner(targets, policy, timeout, Random().random, traces)  # noqa: S311
        self._settler = Settler(lanes, report, self._settled)
        self._max_in_flight = max_in_flight
        #: By attempt, and not by job: one that has outlived its lease may be under way beside the next one.
        self._flights: dict[str, InFlightAttempt] = {}
        self._reserved = 0
        #: When each of the calls began that are under way and may claim something (monotonic seconds).
        self._calls: dict[object, float] = {}
        self._lonely = 0
        self._slots = ConcurrencyLimiter(max_in_flight)
        self._claimer = ClaimLoop(lanes, self, self._slots, pass_on)
        self._landed = asyncio.Event()
        self._alone = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []
        self._draining = False

    def open(self) -> None:
        """Starts claiming and settling, on the running loop."""
        self._loops = [
            asyncio.create_task(self._claimer.claim_for_ever()),
            asyncio.create_task(self._settler.settle_for_ever(lambda: self.in_flight)),
        ]

    @property
    def in_flight(self) -> int:
        """Attempts under way, those that are over and not yet settled included."""
        return len(self._flights)

    @property
    def room(self) -> int:
        """How many more jobs can be started at once."""
        if self._draining or self._lonely:
            return 0
        return max(0, self._max_in_flight - len(self._flights) - self._reserved)

    @property
    def draining(self) -> bool:
        """True once nothing more is taken."""
        return self._draining

    @property
    def held(self) -> set[str]:
        """Ids of the jobs that are in flight here."""
        return {flight.claim.job_id for flight in self._flights.values()}

    @property
    def calling_since(self) -> float:
        """When the oldest call began that may still claim something (monotonic seconds); infinite where none may."""
        return min(self._calls.values(), default=inf)

    @contextmanager
    def reserved(self, wanted: int) -> Iterator[int]:
        """Keeps up to `wanted` places free for a call that may claim; answers how many."""
        room, call = min(wanted, self.room), object()
        self._reserved += room
        self._calls[call] = monotonic()
        try:
            yield room
        finally:
            del self._calls[call]
            self._reserved -= room
            self._landed.set()

    async def limits(self, lanes: Sequence[str]) -> Mapping[str, int]:
        """How many more attempts each of the lanes may have here. Raises LedgerError."""
        return await self._claimer.limits(lanes)

    def serve(self, lanes: Iterable[str]) -> None:
        """Has the lanes claimed from as soon as there is room, each in its turn."""
        self._claimer.serve(lanes)

    def start(self, claims: Iterable[Claim]) -> None:
        """Begins the attempts of claimed jobs."""
        for claim in claims:
            flight = InFlightAttempt(claim)
            self._flights[_name(claim)] = flight
            self._slots.started(claim.integration_id, _name(claim), perf_counter())
            alone = claim.lost >= LOSSES_BEFORE_ALONE
            flight.task = asyncio.create_task(self._carry_out_alone(flight) if alone else self._carry_out(flight))
            flight.task.add_done_callback(partial(self._over, claim))

    def lose(self, claims: Iterable[Claim]) -> None:
        """Settles attempts that died with another process."""
        for claim in claims:
            self._flights[_name(claim)] = InFlightAttempt(claim)
            self._settler.add(self._carrier.lose(claim))

    def cut_off_overdue(self) -> None:
        """Ends attempts whose deliverer does not keep its own deadline."""
        for flight in self._flights.values():
            if flight.task and self._carrier.is_overdue(flight):
                flight.overdue = True
                flight.task.cancel()

    def stop_claiming(self) -> None:
        """Takes no more; what is in flight goes on."""
        self._draining = True
        self._claimer.stop()

    async def drain(self, seconds: float, hurry: asyncio.Event) -> None:
        """Claims no more, waits for what is in flight, then interrupts the rest and settles everything.

        It waits for so many seconds, or until `hurry` is set.
        """
        self.stop_claiming()
        # A claim that is under way may bring jobs, which are this process's to end.
        while self._reserved:
            self._landed.clear()
            await self._landed.wait()
        if tasks := [flight.task for flight in self._flights.values() if flight.task]:
            for task in await _not_over(tasks, seconds, hurry):
                task.cancel()
        try:
            async with asyncio.timeout(SETTLE_ON_STOP_SECONDS):
                while self._flights:
                    self._landed.clear()
                    await self._landed.wait()
        except TimeoutError:
            _log.error("unsettled", attempts=len(self._flights), why="the ledger did not answer; others will reap them")
        await end(self._loops)

    async def _carry_out(self, flight: InFlightAttempt) -> None:
        attempt = await self._carrier.carry_out(flight)
        if attempt is None:
            await self._give_back(flight)
            return
        self._ended(flight.claim, attempt.healthy)
        self._settler.add(attempt)

    async def _carry_out_alone(self, flight: InFlightAttempt) -> None:
        """For a job that may be what kills workers: waits until nothing else is in flight, so that only it is lost."""
        self._lonely += 1
        try:
            async with self._alone:
                while len(self._flights) > self._lonely:
                    self._landed.clear()
                    await self._landed.wait()
                await self._carry_out(flight)
        except asyncio.CancelledError:
            await self._give_back(flight)
        finally:
            self._lonely -= 1
            self._claimer.stir()

    async def _give_back(self, flight: InFlightAttempt) -> None:
        claim = flight.claim
        try:
            await self._lanes.release([(claim.job_id, claim.attempt)])
        except LedgerError as error:
            _log.warning("not given back", job=claim.job_id, why=str(error))
        self._ended(claim, None)
        self._land([claim])

    def _over(self, claim: Claim, task: "asyncio.Task[None]") -> None:
        """Lets go of an attempt that a bug of ours has ended; the sweep finds its lease, and settles it as lost."""
        if not task.cancelled() and (error := task.exception()):
            _log.error("attempt dropped", job=claim.job_id, attempt=claim.attempt, exc_info=error)
            self._ended(claim, None)
            self._land([claim])

    def _ended(self, claim: Claim, did_well: bool | None) -> None:
        counted = self._slots.ended(claim.integration_id, _name(claim), did_well, perf_counter())
        self._claimer.ended(claim.integration_id, frees_share=counted)

    def _settled(self, claims: Iterable[Claim], lanes: Iterable[str]) -> None:
        self._land(claims)
        self.serve(lanes)

    def _land(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            self._flights.pop(_name(claim), None)
        self._landed.set()
        self._claimer.stir()


def _name(claim: Claim) -> str:
    return f"{claim.job_id}:{claim.attempt}"


async def _not_over(
    tasks: Sequence["asyncio.Task[None]"], seconds: float, hurry: asyncio.Event
) -> list["asyncio.Task[None]"]:
    """Those that are not over after so many seconds, or when `hurry` is set."""
    waits = (asyncio.ensure_future(asyncio.wait(tasks)), asyncio.ensure_future(hurry.wait()))
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    await end(waits)
    return [task for task in tasks if not task.done()]
