"""The attempts of claimed jobs, each a task of the running loop, and where their results go."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from time import monotonic, perf_counter

import structlog

from deliverers.contract import NotAttempted
from worker.delivery.attempt_runner import AttemptRunner
from worker.delivery.concurrency_limiter import ConcurrencyLimiter
from worker.delivery.in_flight import InFlightAttempt, InFlightPool
from worker.delivery.lane_queue import LaneQueue
from worker.delivery.returner import Returner
from worker.delivery.settler import Settler
from worker.domain.claim import Claim
from worker.event_loop.cancellation import end
from worker.telemetry import metrics

_log = structlog.get_logger("edw.delivery")

#: After this many lost attempts, a job's attempts run alone in their process.
LOSSES_BEFORE_ALONE = 3


class AttemptTasks:
    """Starts attempts and passes on their results: to the settler, or to the returner if nothing was sent.

    Args:
        pool: The attempts in flight.
        runner: Makes an attempt.
        limiter: Learns from attempts which lanes are healthy.
        queue: The lanes that wait for service; after an attempt its lane may be served again.
        settler: Receives finished attempts.
        returner: Receives claims whose attempt was not made.
    """

    def __init__(
        self,
        pool: InFlightPool,
        runner: AttemptRunner,
        limiter: ConcurrencyLimiter,
        queue: LaneQueue,
        settler: Settler,
        returner: Returner,
    ) -> None:
        self._pool = pool
        self._runner = runner
        self._limiter = limiter
        self._queue = queue
        self._settler = settler
        self._returner = returner

    def start(self, claims: Iterable[Claim]) -> None:
        """Start the attempts of claimed jobs."""
        for claim in claims:
            attempt = self._pool.add(claim)
            self._limiter.started(claim.integration_id, attempt.name, perf_counter(), attempt.slots)
            run = self._run_alone if claim.lost >= LOSSES_BEFORE_ALONE else self._run
            attempt.task = asyncio.create_task(run(attempt))
            attempt.task.add_done_callback(partial(self._task_ended, attempt))

    def lose(self, claims: Iterable[Claim]) -> None:
        """Settle attempts that were lost because their process died."""
        for claim in claims:
            attempt = self._pool.add(claim)
            attempt.task = asyncio.create_task(self._lose(claim))
            attempt.task.add_done_callback(partial(self._task_ended, attempt))

    def cut_off_overdue(self) -> None:
        """Cancel attempts whose deliverer has long missed its deadline."""
        for attempt in self._pool:
            if attempt.task and self._runner.is_overdue(attempt):
                attempt.overdue = True
                attempt.task.cancel()

    async def finish(self, seconds: float, hurry: asyncio.Event) -> None:
        """Wait for all attempts, at most `seconds` or until `hurry` is set; then interrupt the unfinished ones."""
        tasks = [attempt.task for attempt in self._pool if attempt.task]
        if tasks:
            for task in await _unfinished(tasks, seconds, hurry):
                task.cancel()

    async def _run(self, attempt: InFlightAttempt) -> None:
        made = await self._runner.run(attempt)
        match made:
            case None:
                self._give_back(attempt)
            case NotAttempted():
                self._lack(attempt, made)
            case _:
                if made.reached:
                    self._pool.limit.reached()
                self._ended(attempt, made.healthy)
                self._settler.add(made)

    async def _lose(self, claim: Claim) -> None:
        self._settler.add(await self._runner.lost(claim))

    async def _run_alone(self, attempt: InFlightAttempt) -> None:
        """Run an attempt that may kill its worker, once nothing else is in flight, so that no other is lost with it."""
        try:
            async with self._pool.alone():
                await self._run(attempt)
        except asyncio.CancelledError:
            self._give_back(attempt)
        finally:
            self._queue.wake()

    def _lack(self, attempt: InFlightAttempt, lack: NotAttempted) -> None:
        """Give the job back and lower the limit: any other attempt of this process would lack the same resource."""
        # The deliverer has returned, so there is nothing to cancel any more.
        attempt.started = None
        metrics.observe_exhaustion(lack.resource)
        now, limit = monotonic(), self._pool.limit
        if pause := limit.lacking(len(self._pool), now):
            asyncio.get_running_loop().call_later(pause, self._queue.wake)
        if times := limit.to_log(now):
            _log.error(
                "own resource exhausted",
                resource=lack.resource.value,
                why=lack.reason,
                not_attempted=times,
                in_flight_limit=limit.current,
            )
        self._give_back(attempt)

    def _give_back(self, attempt: InFlightAttempt) -> None:
        self._ended(attempt, None)
        self._returner.add(attempt.claim)

    def _task_ended(self, attempt: InFlightAttempt, task: "asyncio.Task[None]") -> None:
        """Drop an attempt that a bug of ours has ended; the sweep finds its lease and settles it as lost."""
        if not task.cancelled() and (error := task.exception()):
            _log.error("attempt dropped", job=attempt.claim.job_id, attempt=attempt.claim.attempt, exc_info=error)
            self._ended(attempt, None)
            self._pool.remove([attempt.claim])
            self._queue.wake()

    def _ended(self, attempt: InFlightAttempt, did_well: bool | None) -> None:
        lane = attempt.claim.integration_id
        counted = self._limiter.ended(lane, attempt.name, did_well, perf_counter(), attempt.timeout)
        self._queue.attempt_ended(lane, frees_share=counted)


async def _unfinished(
    tasks: Sequence["asyncio.Task[None]"], seconds: float, hurry: asyncio.Event
) -> list["asyncio.Task[None]"]:
    """Return the tasks that are not done after `seconds`, or when `hurry` is set."""
    waits = (asyncio.ensure_future(asyncio.wait(tasks)), asyncio.ensure_future(hurry.wait()))
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    await end(waits)
    return [task for task in tasks if not task.done()]
