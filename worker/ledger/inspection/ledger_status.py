"""The status of the ledger: the balance of its counters, and the lanes that have work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from worker.ledger.archive_outbox import ArchiveOutbox, OutboxLag
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.policy import by_message

#: How long the key that writable() writes is kept (ms).
WRITABLE_TTL = 10_000


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """A lane that has work. Times are milliseconds."""

    integration_id: str
    due: int
    leased: int
    held: bool
    #: How long the oldest due job has been due; negative if it is due later.
    oldest_due_age: int
    #: `open` while it rests, `half` while one attempt probes the receiver; else empty.
    circuit: str = ""
    #: Time until an open circuit allows an attempt.
    circuit_wait: int = 0
    #: Why the lane is held: `paused`, `disabled` or `closing`; empty if its integration does not exist.
    hold: str = ""
    #: Bytes of the events of its due jobs.
    size: int = 0
    #: How long all attempts have failed; 0 if the last one succeeded.
    failing_for: int = 0
    #: The integration's name; empty if the integration does not exist.
    name: str = ""


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The ledger at one moment."""

    counters: Mapping[str, int]
    inbox: int
    #: How long the event that is announced next has been overdue (ms); negative if none is.
    inbox_overdue: int
    pending: int
    #: Pending jobs that are in flight.
    leased: int
    processes: int
    lanes: tuple[LaneStatus, ...]
    #: The number of lanes that have work; `lanes` may hold only the first of them.
    lanes_total: int
    rejected: int
    memory_used: int
    memory_limit: int
    #: What waits to be archived; None without a history.
    outbox: OutboxLag | None = None

    def counter(self, name: str) -> int:
        """Return a counter of the scripts; 0 if nothing was counted yet."""
        return self.counters.get(name, 0)

    @property
    def events_balance(self) -> int:
        """The number of lost events; anything but 0 breaks invariant 1.

        It is accepted - (inbox + unmatched + filtered + matched + set aside).
        """
        accounted = self.inbox + sum(map(self.counter, ("unmatched", "filtered", "matched", "set_aside")))
        return self.counter("accepted") - accounted

    @property
    def jobs_balance(self) -> int:
        """The number of lost jobs; anything but 0 breaks invariant 1.

        It is opened + reopened - (succeeded + failed + cancelled + pending).
        """
        ended = sum(map(self.counter, ("succeeded", "failed", "cancelled")))
        return self.counter("opened") + self.counter("reopened") - ended - self.pending


class LaneDepth(msgspec.Struct, array_like=True, frozen=True):
    """How many jobs a lane has; `oldest_due_at` is the due time of its oldest due job (ms; 0 without one)."""

    due: int
    leased: int
    oldest_due_at: int


_depths = msgspec.msgpack.Decoder(list[LaneDepth])


class _Named(msgspec.Struct):
    """The part of an integration's document that the status shows."""

    name: str


_named = msgspec.json.Decoder(_Named)


class StatusReader:
    """Reads the status of the whole ledger. The cost grows with the lanes that have work, not with what is stored."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def writable(self) -> None:
        """Raise LedgerError if Redis takes no writes, or this user may not run a command that is needed."""
        await self._redis.check_permitted()
        await self._redis.run("writable", ttl=WRITABLE_TTL)

    async def workers(self) -> int:
        """Return the number of worker processes whose lease has not run out."""
        return int(await self._redis.call("zcount", "owners", f"({await self._redis.now()}", "+inf"))

    async def refuse_over_water(self) -> None:
        """Raise LedgerFull if Redis's memory is above the high-water mark."""
        await self._redis.refuse_over_water()

    async def read(self, lanes: int = 50) -> LedgerStatus:
        """Return the status of the ledger now, with at most `lanes` lanes.

        The lanes that have waited longest come first, then some of the held lanes, then others with attempts in flight.
        """
        head = await self._redis.atomically(
            ("hgetall", "counters"),
            ("zcard", "inbox"),
            ("zrange", "inbox", 0, 0, "WITHSCORES"),
            ("zcard", "pending"),
            ("zrange", "owners", 0, -1),
            ("zrange", "lanes", 0, lanes - 1),
            ("srandmember", "held", lanes),
            ("scard", "held"),
            ("llen", "rejected"),
            ("zcard", "lanes"),
        )
        counters, inbox, first, pending, owners, indexed, held, held_total, rejected, total = head
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
            lanes=await self._lanes(listed, now),
            lanes_total=max(total + held_total, len(listed)),
            rejected=rejected,
            memory_used=int(info["used_memory"]),
            memory_limit=int(info["maxmemory"]),
            outbox=await self._outbox_lag(),
        )

    async def _outbox_lag(self) -> OutboxLag | None:
        return await ArchiveOutbox(self._redis, "").lag() if self._redis.policy.history else None

    async def of_lanes(self, ids: Sequence[str]) -> tuple[LaneStatus, ...]:
        """Return the status of some lanes, in the order given."""
        return await self._lanes(list(ids), await self._redis.now()) if ids else ()

    async def depths(self, ids: Sequence[str]) -> list[LaneDepth]:
        """Return how many jobs each of some lanes has, in the order given."""
        found: list[LaneDepth] = []
        for some in by_message(ids):
            found += _depths.decode(await self._redis.run("lane_depths", ids=some))
        return found

    async def in_flight_by_scope(self, sample: int = 400) -> Mapping[str, int]:
        """Return how many of a sample of the attempts in flight belong to each scope, the most first.

        The sample has about `sample` attempts, as many of each process.
        """
        owners = [each.decode() for each in await self._redis.call("zrange", "owners", 0, -1)]
        _, lanes = await self._in_flight(owners, max(1, sample // max(1, len(owners))))
        distinct = list(dict.fromkeys(lanes))
        rows = await self._redis.hashes([f"lane:{each}" for each in distinct], "scope")
        scopes = {lane: row.get("scope", "") for lane, row in zip(distinct, rows, strict=True)}
        return dict(Counter(scopes[lane] for lane in lanes if scopes[lane]).most_common())

    async def _in_flight(self, owners: list[str], most: int) -> tuple[int, list[str]]:
        """Return the number of jobs in flight, and the lanes of some of them: of up to `most` jobs of each process."""
        if not owners:
            return 0, []
        leases = [f"owner:{owner}:leases" for owner in owners]
        counts = await self._redis.atomically(*(("scard", each) for each in leases))
        samples = await self._redis.atomically(*(("srandmember", each, most) for each in leases))
        jobs = await self._redis.hashes([f"job:{job.decode()}" for sample in samples for job in sample], "lane")
        return sum(counts), [job["lane"] for job in jobs if job]

    async def _lanes(self, ids: list[str], now: int) -> tuple[LaneStatus, ...]:
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
                ("hget", f"integration:{each}", "doc"),
            )
        ]
        found = await self._redis.atomically(*commands)
        rows = zip(ids, *(found[place::5] for place in range(5)), strict=True)
        return tuple(
            LaneStatus(
                each,
                due,
                leased,
                bool(hold) and due > 0,
                now - int(first[0][1]) if first else -1,
                (circuit or b"").decode(),
                max(0, int(until or 0) - now),
                (hold or b"").decode(),
                int(size or 0),
                now - int(failing) if failing else 0,
                _named.decode(doc).name if doc else "",
            )
            for each, due, leased, first, (circuit, until, hold, size, failing), doc in rows
        )
