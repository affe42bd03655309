"""The claim loop: leases jobs of the lanes that wait for service, as many as this process can take."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Protocol

import structlog

from worker.delivery.in_flight import InFlightPool
from worker.delivery.lane_limits import LaneLimits
from worker.delivery.lane_queue import LaneQueue
from worker.delivery.settler import LEDGER_RETRY_SECONDS, LINGER_SECONDS
from worker.delivery.store_slots import limits_by_store
from worker.domain.claim import Claim
from worker.event_loop.pacing import breathe
from worker.ledger import LedgerError
from worker.ledger.lanes.claims import Claimed
from worker.ledger.policy import JOBS_PER_CALL

_log = structlog.get_logger("edw.delivery")

#: The most lanes in one claim.
LANES_PER_CLAIM = 50


class ClaimingLedger(Protocol):
    """The part of the ledger that leases jobs."""

    async def claim(self, lanes: Sequence[str], room: int, limits: Mapping[str, int]) -> Claimed: ...


class TargetReader(Protocol):
    """Reads the integrations of lanes that are new to this process, many in one call."""

    def unread(self, stores: Mapping[str, str]) -> Sequence[str]: ...
    async def read(self, lanes: Sequence[str]) -> None: ...


class ClaimLoop:
    """Claims from the queued lanes whenever the pool has a free slot, and starts the claimed jobs.

    Args:
        ledger: Leases jobs.
        targets: Reads the integrations of the lanes.
        pool: Knows how many attempts may be started.
        limits: Knows how many attempts each lane may have.
        queue: The lanes that wait for service; the loop puts lanes back that have more jobs.
        start: Starts the attempts of claimed jobs.
        linger: How long freed slots of a share wait for further ones (seconds).
    """

    def __init__(
        self,
        ledger: ClaimingLedger,
        targets: TargetReader,
        pool: InFlightPool,
        limits: LaneLimits,
        queue: LaneQueue,
        start: Callable[[Iterable[Claim]], None],
        linger: float = LINGER_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._targets = targets
        self._pool = pool
        self._limits = limits
        self._queue = queue
        self._start = start
        self._linger = linger

    async def claim_for_ever(self) -> None:
        """Claim until cancelled."""
        while True:
            self._queue.put_due()
            room = self._pool.room
            if room and self._queue.waits_for_shares:
                if self._queue.is_empty:
                    # Slots of a share are freed one by one; several at a time make fewer, larger claims.
                    await asyncio.sleep(self._linger)
                    room = self._pool.room
                self._queue.unpark(self._limits.free())
            if self._queue.is_empty or not room:
                await self._queue.wait()
                continue
            lanes = strangers = self._queue.take_strangers()
            try:
                if strangers:
                    await self._limits.learn(strangers)
                    self._queue.put(strangers)
                lanes = self._queue.take(min(LANES_PER_CLAIM, room), self._pool.room_by_store())
                if lanes:
                    await self._claim(lanes)
                elif not strangers:
                    # All free slots are left to stores that have fewer.
                    await self._queue.wait()
            except LedgerError as error:
                _log.warning("cannot claim", why=str(error))
                self._queue.put(lanes)
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
            except Exception:  # noqa: BLE001  (a bug; sweeps announce these lanes again, and other lanes go on)
                _log.exception("cannot claim", lanes=lanes)
                await asyncio.sleep(LEDGER_RETRY_SECONDS)

    async def _claim(self, lanes: Sequence[str]) -> None:
        limits = await self._limits.limits(lanes, overdue=True)
        if full := [lane for lane in lanes if limits.get(lane) == 0]:
            self._queue.park(self._limits.waits_for(full))
        if open_lanes := {lane: self._queue.store_of(lane) for lane in lanes if limits.get(lane) != 0}:
            equal = ceil(min(JOBS_PER_CALL, self._pool.room) / len(set(open_lanes.values())))
            room_of = self._pool.room_by_store()
            limits = limits_by_store(
                {lane: limits[lane] for lane in open_lanes},
                self._queue.store_of,
                lambda store: min(equal, room_of(store)),
                least=1,
            )
            with self._pool.reserved(JOBS_PER_CALL) as room:
                claimed = await self._claimed(open_lanes, room, limits)
                self._start(claimed.claims)
            self._queue.put(claimed.more)
            self._queue.put_later(claimed.later)
        else:
            await breathe()

    async def _claimed(self, stores: Mapping[str, str], room: int, limits: Mapping[str, int]) -> Claimed:
        """Claim from the lanes, and meanwhile read those of their integrations that are new to this process."""
        claiming = self._ledger.claim(list(stores), room, limits)
        unread = self._targets.unread(stores)
        if not unread:
            return await claiming
        claimed, _ = await asyncio.gather(claiming, self._targets.read(unread))
        return claimed
