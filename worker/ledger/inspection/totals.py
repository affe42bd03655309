"""What the ledger holds, for metrics: read by one process of the fleet at a time."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import msgspec

from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.inbox import PRESSURE_SAMPLE

#: Lanes that one call adds up: 1-2 ms of Redis' time.
LANES_PER_CALL = 200
#: Between two calls Redis is left to others for as long as this many of them took.
BREATHERS = 4.0


class LaneTotals(msgspec.Struct, frozen=True):
    """Jobs that are not in flight, by what they wait for (gauge_lanes.lua), and the lanes that have them."""

    due: int = 0
    capped: int = 0
    resting: int = 0
    held: int = 0
    scheduled: int = 0
    #: How long the oldest of `due` and `capped` has been due (ms); -1 where there is none.
    oldest_due: int = -1
    closed: int = 0
    open: int = 0
    half: int = 0

    def plus(self, other: "LaneTotals") -> "LaneTotals":
        """Both together."""
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


_head = msgspec.msgpack.Decoder(_Head)
_portion = msgspec.msgpack.Decoder(_Portion)


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The ledger at one moment; `inbox_age` is that of the events that are observed next (ms)."""

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


@dataclass(frozen=True, slots=True)
class Sample:
    """Redis' time (seconds since 1970), between two moments of `perf_counter()`; the gauges are the holder's."""

    asked: float
    answered: float
    store_time: float
    gauges: LedgerTotals | None


class TotalsReader:
    """Reads of the gauges for one process (`owner`), of which one at a time is answered."""

    def __init__(self, redis: RedisClient, owner: str) -> None:
        self._redis = redis
        self._owner = owner

    async def sample(self, hold: float) -> Sample:
        """The gauges, where no other process has read them within the last `hold` seconds. Costs what has work."""
        asked = perf_counter()
        reply = await self._redis.run("gauges", owner=self._owner, hold=round(hold * 1000))
        answered = perf_counter()
        head = _head.decode(reply)
        gauges = await self._rest(head) if head.holder else None
        return Sample(asked, answered, head.now / 1000, gauges)

    async def release(self) -> None:
        """Lets another process read them at once; for the one that reads them."""
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
            # However many lanes there are, this takes a fifth of Redis' time at most while it reads.
            await asyncio.sleep(BREATHERS * (perf_counter() - began))
