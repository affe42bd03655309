"""Totals of the ledger for metrics. One process of the fleet at a time reads them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import msgspec

from worker.ledger.archive_outbox import NOTHING_WAITS, ArchiveOutbox, OutboxLag
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.inbox import PRESSURE_SAMPLE

#: Lanes that one call adds up: about 1 ms of Redis's time.
LANES_PER_CALL = 50
#: The pause between two calls, as a multiple of a call's duration.
BREATHERS = 4.0


class LaneTotals(msgspec.Struct, frozen=True):
    """Jobs that are not in flight, by what they wait for (see gauge_lanes.lua), and lanes by state of circuit."""

    due: int = 0
    capped: int = 0
    resting: int = 0
    held: int = 0
    scheduled: int = 0
    #: How long the oldest of `due` and `capped` has been due (ms); -1 if there is none.
    oldest_due: int = -1
    closed: int = 0
    open: int = 0
    half: int = 0

    def plus(self, other: "LaneTotals") -> "LaneTotals":
        """Return the sum of both."""
        names = (name for name in LaneTotals.__struct_fields__ if name != "oldest_due")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return LaneTotals(**sums, oldest_due=max(self.oldest_due, other.oldest_due))


class _Portion(LaneTotals, frozen=True, kw_only=True):
    cursor: str


class _Head(msgspec.Struct):
    now: float
    holder: int
    counters: list[str] = []
    inbox: int = 0
    pending: int = 0
    leased: int = 0
    rejected: int = 0
    workers: int = 0
    backlog_bytes: int = 0


_head = msgspec.msgpack.Decoder(_Head)
_portion = msgspec.msgpack.Decoder(_Portion)


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The totals at one moment; `inbox_age` is the age of the events that are observed next (ms)."""

    counters: Mapping[str, int]
    inbox: int
    inbox_age: int
    pending: int
    leased: int
    rejected: int
    workers: int
    lanes: LaneTotals
    memory_used: int
    memory_limit: int
    #: The bytes that the backlogs of all lanes take, and may take; 0 is no limit.
    backlog_bytes: int = 0
    backlog_limit: int = 0
    #: What waits to be archived; nothing without a history.
    outbox: OutboxLag = NOTHING_WAITS


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of Redis's clock and, for the process that holds the right to read them, the totals.

    `redis_time` is Redis's time (seconds since 1970) at a moment between `asked` and `answered` (perf_counter()).
    """

    asked: float
    answered: float
    redis_time: float
    gauges: LedgerTotals | None


class TotalsReader:
    """Reads the totals for one process (`owner`); only one process at a time gets them."""

    def __init__(self, redis: RedisClient, owner: str) -> None:
        self._redis = redis
        self._owner = owner
        self._outbox = ArchiveOutbox(redis, owner)

    async def sample(self, hold: float) -> Sample:
        """Return a sample, with totals unless another process has read them within the last `hold` seconds.

        The cost grows with the lanes that have work.
        """
        asked = perf_counter()
        reply = await self._redis.run("gauges", owner=self._owner, hold=round(hold * 1000))
        answered = perf_counter()
        head = _head.decode(reply)
        gauges = await self._rest(head) if head.holder else None
        return Sample(asked, answered, head.now / 1000, gauges)

    async def release(self) -> None:
        """Allow another process to read the totals at once. Only the process that reads them may call this."""
        await self._redis.call("delete", "gauges")

    async def _rest(self, head: _Head) -> LedgerTotals:
        _, age = await self._redis.run("pressure", sample=PRESSURE_SAMPLE)
        totals = (await self._lanes("lanes")).plus(await self._lanes("held"))
        memory = await self._redis.memory()
        return LedgerTotals(
            counters=dict(zip(head.counters[::2], map(int, head.counters[1::2]), strict=True)),
            inbox=head.inbox,
            inbox_age=int(age),
            pending=head.pending,
            leased=head.leased,
            rejected=head.rejected,
            workers=head.workers,
            lanes=totals,
            memory_used=int(memory["used_memory"]),
            memory_limit=int(memory["maxmemory"]),
            backlog_bytes=head.backlog_bytes,
            backlog_limit=round(int(memory["maxmemory"]) * self._redis.policy.backlog_memory),
            outbox=await self._outbox.lag() if self._redis.policy.history else NOTHING_WAITS,
        )

    async def _lanes(self, index: str) -> LaneTotals:
        totals, cursor = LaneTotals(), "0"
        while True:
            began = perf_counter()
            reply = await self._redis.run("gauge_lanes", index=index, cursor=cursor, count=LANES_PER_CALL)
            portion = _portion.decode(reply)
            totals, cursor = totals.plus(portion), portion.cursor
            if cursor == "0":
                return totals
            # However many lanes there are, reading takes at most a fifth of Redis's time.
            await asyncio.sleep(BREATHERS * (perf_counter() - began))
