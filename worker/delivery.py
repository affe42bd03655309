"""Jobs into outcomes: carries out what is claimed, decides what follows. The orchestrator of everything in flight."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf, isnan
from random import Random
from time import monotonic, perf_counter
from typing import Protocol

import structlog

from deliverers.contract import Delivery, Outcome, Refused, Unreachable
from worker import claiming
from worker.attempts import Attempt, Interrupted, Lost
from worker.backoff import Decision, Fail, Retry, RetryPolicy
from worker.claiming import Claimer
from worker.context import celery_task
from worker.directory import NoTarget, Target
from worker.ending import end
from worker.ledger import Claim, LedgerError
from worker.settling import LEDGER_RETRY_SECONDS, Books, Settler
from worker.suspicion import Slots
from worker.tracecontext import TraceContext
from worker.traces import AttemptSpan, Traces, Unattended, attempt_span

_log = structlog.get_logger("edw.delivery")

#: A job that was lost with its worker so often is run with nothing beside it.
LOSSES_BEFORE_ALONE = 3
#: A deliverer that holds on to an attempt for its deadline and this many seconds more is cut off.
DEADLINE_GRACE_SECONDS = 5.0
#: How long the last settlements, of what was interrupted too, may take when the process stops (seconds).
SETTLE_ON_STOP_SECONDS = 5.0


class Lanes(Books, claiming.Lanes, Protocol):
    """What is asked of the ledger's jobs."""

    async def release(self, claims: Sequence[tuple[str, str, int]]) -> int: ...


class Targets(Protocol):
    """What is asked of the directory."""

    def known_target(self, claim: Claim) -> Target | NoTarget | None: ...
    async def load_target(self, claim: Claim) -> Target | NoTarget: ...


@dataclass(slots=True)
class _Flight:
    claim: Claim
    #: None until the deliverer has it: until then, nothing has left the house.
    started: float | None = None
    task: "asyncio.Task[None] | None" = None
    overdue: bool = False


class Deliveries:
    """Everything that this process has in flight."""

    def __init__(
        self,
        lanes: Lanes,
        targets: Targets,
        policy: RetryPolicy,
        report: Callable[[Attempt, str], None],
        max_in_flight: int,
        timeout: float,
        traces: Traces | None = None,
        pass_on: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        """`pass_on` tells other processes of lanes for which this one has no slots now."""
        self._lanes = lanes
        self._traces = traces
        self._settler = Settler(lanes, report, self._settled)
        self._targets = targets
        self._policy = policy
        self._max_in_flight = max_in_flight
        self._timeout = timeout
        # Jitter is no secret.
        self._random = Random().random  # noqa: S311
        #: By attempt, and not by job: one that has outlived its lease may be under way beside the next one.
        self._flights: dict[str, _Flight] = {}
        self._reserved = 0
        #: When each of the calls began that are under way and may claim something (monotonic seconds).
        self._calls: dict[object, float] = {}
        self._lonely = 0
        self._slots = Slots(max_in_flight)
        self._claimer = Claimer(lanes, self, self._slots, pass_on)
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
            flight = _Flight(claim)
            self._flights[_name(claim)] = flight
            self._slots.started(claim.integration_id, _name(claim), perf_counter())
            alone = claim.lost >= LOSSES_BEFORE_ALONE
            flight.task = asyncio.create_task(self._carry_out_alone(flight) if alone else self._carry_out(flight))
            flight.task.add_done_callback(partial(self._over, claim))

    def lose(self, claims: Iterable[Claim]) -> None:
        """Settles attempts that died with another process."""
        for claim in claims:
            self._flights[_name(claim)] = _Flight(claim)
            decision = self._policy.after_loss(claim.attempt - claim.base, claim.lost + 1, self._random())
            span = attempt_span(self._traces, claim, None)
            attempt = Attempt(claim, "", Lost(), decision, 0.0, ours=True, trace=span.trace)
            span.end(attempt)
            self._settler.add(attempt)

    def cut_off_overdue(self) -> None:
        """Ends attempts whose deliverer does not keep its own deadline."""
        limit = perf_counter() - self._timeout - DEADLINE_GRACE_SECONDS
        for flight in self._flights.values():
            if flight.task and not flight.task.done() and flight.started and flight.started < limit:
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

    async def _carry_out(self, flight: _Flight) -> None:
        claim = flight.claim
        target: Target | NoTarget | None = None
        span: AttemptSpan = Unattended(claim.trace)
        outcome: Outcome | Interrupted
        ours = False
        began = perf_counter()
        try:
            target = self._targets.known_target(claim) or await self._load_target(claim)
            span = attempt_span(self._traces, claim, target)
            span.enter()
            began = perf_counter()
            if isinstance(target, NoTarget):
                # Of an integration that was deleted meanwhile, nobody knows the type, and nobody is to blame.
                outcome, ours = Unreachable(target.reason), bool(target.integration_type)
            elif claim.event is None:
                outcome = Unreachable("the event is no longer in the ledger")
            else:
                flight.started = began
                outcome = checked(await target.deliverer.deliver(delivery_of(claim, target, span.trace)))
        except asyncio.CancelledError:
            if flight.started is None:
                await self._give_back(flight)
                return
            outcome = Interrupted()
            if flight.overdue:
                outcome, ours = overdue(self._timeout), True
        except Exception as error:  # noqa: BLE001  (a plug-in may raise anything)
            # Expected failures are returned, so this is a bug of a deliverer: ours to mend, and still an attempt.
            _log.exception("deliverer failed", job=claim.job_id, attempt=claim.attempt)
            outcome, ours = broken(error), True
        decision = self._decide(claim, outcome)
        kind = target.integration_type if target else ""
        elapsed = perf_counter() - began
        attempt = Attempt(claim, kind, outcome, decision, elapsed, began, ours, celery_task(), span.trace)
        span.end(attempt)
        self._ended(claim, attempt.healthy)
        self._settler.add(attempt)

    def _decide(self, claim: Claim, outcome: Outcome | Interrupted) -> Decision:
        if isinstance(outcome, Interrupted):
            return Retry(0.0)
        if claim.event is None:
            return Fail("event_gone")
        return self._policy.decide(outcome, claim.attempt - claim.base, self._random())

    async def _load_target(self, claim: Claim) -> Target | NoTarget:
        while True:
            try:
                return await self._targets.load_target(claim)
            except LedgerError:
                await asyncio.sleep(LEDGER_RETRY_SECONDS)

    async def _carry_out_alone(self, flight: _Flight) -> None:
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

    async def _give_back(self, flight: _Flight) -> None:
        claim = flight.claim
        try:
            await self._lanes.release([(claim.job_id, claim.integration_id, claim.attempt)])
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


def checked(outcome: object) -> Outcome:
    """What a plug-in returned, where it is an outcome. Raises TypeError or ValueError where it is not."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"an Outcome was expected of the deliverer, not {type(outcome).__name__}")
    # isnan() raises TypeError for what is no number, such as a header that was not read.
    if isinstance(outcome, Refused) and outcome.retry_after is not None and isnan(outcome.retry_after):
        raise ValueError("a pause of NaN seconds")
    return outcome


def broken(error: Exception) -> Unreachable:
    """What comes of an attempt in which a deliverer raised; what it said may hold a secret, and is not repeated."""
    return Unreachable(f"internal error of the deliverer: {type(error).__name__}")


def overdue(timeout: float) -> Unreachable:
    """What comes of an attempt whose deliverer had to be cut off, long after `timeout` (seconds)."""
    return Unreachable(f"the deliverer did not keep its deadline of {timeout:g} s")


def delivery_of(claim: Claim, target: Target, trace: TraceContext | None = None) -> Delivery:
    """What a deliverer is given for a claim whose event is at hand; `trace` is for its receiver."""
    stored = claim.event
    assert stored is not None  # noqa: S101  (the caller looked)
    event = stored.event
    return Delivery(
        job_id=claim.job_id,
        attempt=claim.attempt,
        epoch=claim.epoch,
        event_id=event.id,
        triggered_by=event.type,
        data=event.data,
        included=event.included,
        store_id=event.scope.store_id,
        org_id=event.scope.org_id,
        time=stored.time,
        source=event.source,
        integration=target.ref,
        configuration=target.configuration,
        trace=trace.headers if trace else {},
    )
