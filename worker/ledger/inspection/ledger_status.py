"""What the ledger says of itself: the balance of its counters, and the lanes that have work."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.ledger.connection.redis_client import RedisClient

#: What writable() writes is gone after so long (ms).
WRITABLE_TTL = 10_000


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """A lane that has work. Times are milliseconds."""

    integration_id: str
    due: int
    leased: int
    held: bool
    #: How long the oldest due job has been due; negative where it is due only later.
    oldest_due_age: int
    #: `open` while it cools, `half` while one attempt shows whether the receiver is back; else empty.
    circuit: str = ""
    #: In how long an open one may be tried.
    circuit_wait: int = 0
    #: Why a held one is: `paused`, `disabled` or `closing`; empty where its integration is gone.
    hold: str = ""
    #: Bytes of the events that its due jobs are of.
    size: int = 0
    #: For how long there was nothing but failures; 0 where the last attempt did well.
    failing_for: int = 0


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The ledger at one moment."""

    counters: Mapping[str, int]
    inbox: int
    #: How long the event that is announced next has been overdue (ms); negative where none is.
    inbox_overdue: int
    pending: int
    #: Of the pending ones, how many are in flight.
    leased: int
    processes: int
    lanes: tuple[LaneStatus, ...]
    #: Lanes that have work, of which `lanes` may show only the first.
    lanes_total: int
    rejected: int
    memory_used: int
    memory_limit: int

    def counter(self, name: str) -> int:
        """A counter that the scripts keep; 0 where nothing was counted yet."""
        return self.counters.get(name, 0)

    @property
    def events_balance(self) -> int:
        """accepted - (inbox + unmatched + matched + set aside): 0, or an event was lost (invariant 1)."""
        accounted = self.inbox + sum(map(self.counter, ("unmatched", "matched", "set_aside")))
        return self.counter("accepted") - accounted

    @property
    def jobs_balance(self) -> int:
        """opened + reopened - (succeeded + failed + cancelled + pending): 0, or a job was lost (invariant 1)."""
        ended = sum(map(self.counter, ("succeeded", "failed", "cancelled")))
        return self.counter("opened") + self.counter("reopened") - ended - self.pending


class StatusReader:
    """Reads of the whole ledger; each costs what has work, not what is stored."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def writable(self) -> None:
        """Raises LedgerError where the ledger takes no writes, or this user may not do all that is needed."""
        await self._redis.check_permitted()
        await self._redis.run("writable", ttl=WRITABLE_TTL)

    async def workers(self) -> int:
        """Return how many worker processes have renewed their lease in time."""
        return int(await self._redis.call("zcount", "owners", f"({await self._redis.now()}", "+inf"))

    async def refuse_over_water(self) -> None:
        """Raises LedgerFull where Redis' memory is above its high-water mark."""
        await self._redis.refuse_over_water()

    async def read(self, lanes: int = 50) -> LedgerStatus:
        """The ledger now, with at most so many lanes.

        First come those that have waited longest, then the held ones, then others that have attempts in flight.
        """
        head = await self._redis.atomically(
            ("hgetall", "counters"),
            ("zcard", "inbox"),
            ("zrange", "inbox", 0, 0, "WITHSCORES"),
            ("zcard", "pending"),
            ("zrange", "owners", 0, -1),
            ("zrange", "lanes", 0, lanes - 1),
            ("smembers", "held"),
            ("llen", "rejected"),
            ("zcard", "lanes"),
        )
        counters, inbox, first, pending, owners, indexed, held, rejected, total = head
        leased, busy = await self._in_flight([each.decode() for each in owners], lanes)
        now = await self._redis.now()
        info = await self._redis.memory()
        waiting = [each.decode() for each in (*indexed, *held)]
        listed = list(dict.fromkeys([*waiting, *busy]))[:lanes]
        return LedgerStatus(
            counters={name.decode(): int(value) for name, value in counters.items()},
            inbox=inbox,
            inbox_overdue=now - int(first[0][1]) if first else -1,
            pending=pending,
            leased=leased,
            processes=len(owners),
            lanes=await self._lanes(listed, {each.decode() for each in held}, now),
            lanes_total=max(total + len(held), len(listed)),
            rejected=rejected,
            memory_used=int(info["used_memory"]),
            memory_limit=int(info["maxmemory"]),
        )

    async def _in_flight(self, owners: list[str], most: int) -> tuple[int, list[str]]:
        """How many jobs are, and the lanes of some of them, as many as `most` of each process."""
        if not owners:
            return 0, []
        leases = [f"owner:{owner}:leases" for owner in owners]
        counts = await self._redis.atomically(*(("scard", each) for each in leases))
        samples = await self._redis.atomically(*(("srandmember", each, most) for each in leases))
        jobs = await self._redis.hashes([f"job:{job.decode()}" for sample in samples for job in sample], "lane")
        return sum(counts), [job["lane"] for job in jobs if job]

    async def _lanes(self, ids: list[str], held: set[str], now: int) -> tuple[LaneStatus, ...]:
        if not ids:
            return ()
        commands = [
            command
            for each in ids
            for command in (
                ("zcard", f"lane:{each}:due"),
                ("scard", f"lane:{each}:leased"),
                ("zrange", f"lane:{each}:due", 0, 0, "WITHSCORES"),
                ("hmget", f"lane:{each}", "circuit", "circuit_until", "hold", "bytes", "failing_since"),
            )
        ]
        found = await self._redis.atomically(*commands)
        rows = zip(ids, found[0::4], found[1::4], found[2::4], found[3::4], strict=True)
        return tuple(
            LaneStatus(
                each,
                due,
                leased,
                each in held,
                now - int(first[0][1]) if first else -1,
                (circuit or b"").decode(),
                max(0, int(until or 0) - now),
                (hold or b"").decode(),
                int(size or 0),
                now - int(failing) if failing else 0,
            )
            for each, due, leased, first, (circuit, until, hold, size, failing) in rows
        )
