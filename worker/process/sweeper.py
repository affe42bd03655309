"""The timers of every worker: heartbeat, wake-ups, reaping, expiring, and finding orphaned leases.

Reaping takes over the attempts of dead processes, and gives back messages that they had taken from the plain queue.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from worker.delivery.delivery_service import DeliveryService
from worker.delivery.dispatcher import Dispatcher
from worker.delivery.hot_observer import HotObserver
from worker.event_loop.cancellation import end
from worker.intake.wakeups import Wakeups
from worker.integrations.outbox_relay import OutboxRelay
from worker.ledger import Ledger, LedgerError, LedgerFull, LedgerUnavailable
from worker.ledger.events.erasure import JOBS_PER_ERASURE
from worker.ledger.events.intake_list import RETURNED_PER_CALL
from worker.ledger.fleet import FORGOTTEN_PER_CALL, Sweep
from worker.ledger.lease import NO_TERM
from worker.ledger.policy import JOBS_PER_CALL
from worker.telemetry import metrics
from worker.telemetry.certificate_watch import look_at_certificates
from worker.telemetry.lane_events import report_cut
from worker.telemetry.readiness import Presence, State

_log = structlog.get_logger("edw.process")

#: Seconds between two sweeps, at least.
SHORTEST_PAUSE = 0.02
#: Heartbeats per lease; two may fail before other processes consider this one dead.
BEATS_PER_LEASE = 3


class Sweeper:
    """The timers of a worker process; they note in `presence` whether the ledger answers."""

    def __init__(
        self,
        ledger: Ledger,
        dispatch: Dispatcher,
        deliveries: DeliveryService,
        wakeups: Wakeups,
        outbox_relay: OutboxRelay,
        hot_observer: HotObserver,
        sweep_seconds: float,
        presence: Presence,
    ) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._deliveries = deliveries
        self._wakeups = wakeups
        self._outbox_relay = outbox_relay
        self._hot_observer = hot_observer
        lease = ledger.policy.lease / 1000
        #: Seconds between two sweeps. Reaping treats a gap of half a lease as an absence of Redis, so sweeps must be
        #: more frequent.
        self.pause = min(sweep_seconds, lease / 5)
        self._beat = lease / BEATS_PER_LEASE
        #: How long a heartbeat may wait for its answer (seconds): the next one gets another connection.
        self._beat_timeout = lease / 2
        #: The term of the lease at the last heartbeat.
        self._term = NO_TERM
        self._orphaned_since: dict[str, float] = {}
        self._timers: list[asyncio.Task[None]] = []
        #: When the ledger last answered a sweep, and when a step of any timer last ended (monotonic seconds).
        self.swept_at = self.turned_at = monotonic()
        #: When the ledger last answered any timer; a sweep may work long on what it found.
        self.answered_at = self.swept_at
        self._presence = presence
        #: The kind of failure that was last logged.
        self._failure: type[LedgerError] = LedgerError
        #: The timers whose last step the ledger did not answer or refused.
        self._failing: set[str] = set()

    def open(self) -> None:
        """Start the timers on the running loop."""
        self._timers = [
            asyncio.create_task(self._for_ever(self._renew, self._beat)),
            asyncio.create_task(self._for_ever(self._sweep, self.pause)),
            asyncio.create_task(self._for_ever(self._reap, self.pause)),
        ]

    async def close(self) -> None:
        """Stop the timers, except the heartbeat, which continues until `retire()`."""
        await end(self._timers[1:])
        self._timers = self._timers[:1]

    async def retire(self) -> None:
        """Stop the heartbeat and leave the fleet; with attempts in flight, stay in it, so that others reap them.

        Events that this process observed and did not finish are left to others, and do not count it as lost.
        """
        await end(self._timers)
        try:
            await self._dispatch.leave()
            if not self._deliveries.in_flight:
                await self._ledger.fleet.retire()
        except LedgerError as error:
            _log.warning("not retired", why=str(error))

    async def _for_ever(self, step: Callable[[], Awaitable[float | None]], pause: float) -> None:
        """Repeat a step; wait `pause` seconds in between, or fewer if the step returns a shorter wait."""
        while True:
            try:
                asked = await step()
                self._note_answer(step.__name__)
            except LedgerError as error:
                # Not `pause`, which is longer for the heartbeat: when the ledger is back, all timers resume soon.
                asked = self.pause
                self._note_failure(step.__name__, error)
            except Exception:  # noqa: BLE001  (if a timer ended, everything that depends on it would stop)
                asked = None
                _log.exception("sweep failed")
            self.turned_at = monotonic()
            await asyncio.sleep(pause if asked is None else max(SHORTEST_PAUSE, min(pause, asked)))

    def _note_failure(self, step: str, error: LedgerError) -> None:
        self._failing.add(step)
        news = self._presence.away(error.public, State.DEGRADED if isinstance(error, LedgerFull) else State.RED)
        if news or type(error) is not self._failure:
            _log.warning("ledger away", why=str(error))
        self._failure = type(error)

    def _note_answer(self, step: str) -> None:
        self.answered_at = monotonic()
        self._failing.discard(step)
        if not self._failing and self._presence.there():
            _log.info("ledger back")

    async def _renew(self) -> None:
        known = await self._heartbeat()
        if not known or await self._ledger.redis.restarted():
            # Redis may have lost its data or restored an older state, so nothing that was read before is valid.
            await self._ledger.open()
            self._dispatch.forget()
            _log.info("redis restarted" if known else "joined the fleet", owner=self._ledger.owner)
        self._deliveries.cut_off_overdue()
        await self._find_orphaned_leases()
        # This comes last: Redis refuses it at its memory limit.
        for each in look_at_certificates():
            await self._ledger.notices.note_ending(each.integration_id, each.field, each.ends)

    async def _heartbeat(self) -> bool:
        """Write the heartbeat; return False if the ledger did not know this process."""
        fleet = self._ledger.fleet
        try:
            async with asyncio.timeout(self._beat_timeout):
                known = await fleet.renew()
        except TimeoutError:
            raise LedgerUnavailable(f"no answer to the heartbeat within {self._beat_timeout:g} s") from None
        if self._term not in (NO_TERM, fleet.lease.term):
            metrics.LAPSED.inc()
            _log.warning("lease ran out", why="this process was stopped, or cut off from the ledger")
        self._term = fleet.lease.term
        return known

    async def _sweep(self) -> float | None:
        found = await self._ledger.fleet.sweep()
        self.swept_at = monotonic()
        self._serve(found)
        self._wakeups.events([each.id for each in found.events if each.tries <= 1])
        # Their first wake-up had no effect, perhaps because the broker is down. Do the work here, or wake others again.
        if events := [each.id for each in found.events if each.tries > 1]:
            if self._deliveries.room:
                await self._dispatch.begin(events)
            else:
                self._wakeups.events(events)
        if found.observed:
            self._hot_observer.follow()
        await self._outbox_relay.publish(found)
        return found.wait / 1000 if found.wait >= 0 else None

    def _serve(self, found: Sweep) -> None:
        """Serve as many overdue lanes as there are free slots here, and leave the rest to others, if there are any.

        Those whose first wake-up had no effect come first.
        """
        self._deliveries.note_others(alone=found.alone)
        lanes = [each.id for each in sorted(found.lanes, key=lambda each: -each.tries)]
        here = len(lanes) if found.alone else self._deliveries.spare
        self._deliveries.serve(lanes[:here])
        self._wakeups.lanes(lanes[here:])

    async def _reap(self) -> float | None:
        fleet = self._ledger.fleet
        lost = await fleet.seize(self._orphans_to_release(), await fleet.dead_neighbours())
        if lost:
            # An error of ours and not of a receiver: a worker was killed or ran out of memory.
            _log.error("attempts lost with their worker", attempts=len(lost))
            metrics.LOST.inc(len(lost))
            self._deliveries.lose(lost)
        ended = await self._ledger.fleet.expire()
        if ended:
            metrics.observe_end("expired", ended)
            _log.warning("jobs ended undelivered", jobs=ended, why="deadline, full backlog or deleted integration")
        cut = await fleet.cut_backlogs()
        if cut:
            report_cut(cut)
        # This comes last: seize() has extended the leases of processes that only seemed dead while Redis was away.
        returned = await self._ledger.intake_list.return_dead()
        if returned:
            _log.warning("messages given back that a dead worker had taken", messages=returned)
        erased = await self._ledger.erasure.resume()
        forgotten = await self._ledger.fleet.forget()
        more = (
            len(lost) >= JOBS_PER_CALL
            or ended >= JOBS_PER_CALL
            or cut is not None
            or returned >= RETURNED_PER_CALL
            or forgotten >= FORGOTTEN_PER_CALL
            or erased >= JOBS_PER_ERASURE
        )
        return 0.0 if more else None

    async def _find_orphaned_leases(self) -> None:
        """Note this process's leases that it does not hold, and when they were first seen (monotonic seconds)."""
        leases = await self._ledger.fleet.leases()
        now, held = monotonic(), self._deliveries.held
        self._orphaned_since = {job: self._orphaned_since.get(job, now) for job in leases if job not in held}

    def _orphans_to_release(self) -> list[str]:
        """Return the jobs whose leases no pending call can still return, because the call's reply was lost."""
        since, held = self._deliveries.calling_since, self._deliveries.held
        return [job for job, seen in self._orphaned_since.items() if seen < since and job not in held]
