"""The outbox of the history: what has happened and is still to be archived (lua/parts/archive_entries.lua).

One process at a time has the lease of it. Reading changes nothing; what is archived is then taken off.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.wire_event import ID_BYTES, first_job_of
from worker.ledger.lanes.log_records import time_of_log
from worker.ledger.policy import REPLY_BYTE_BUDGET

#: Its lists, in the order in which they are archived.
LISTS = ("cut", "ended", "attempted", "audited")
#: Entries that one call reads or takes off: 1-2 ms of Redis's time.
ENTRIES_PER_CALL = 100
#: How long a process that died keeps others from archiving (ms).
ARCHIVE_LEASE = 10_000
#: How long the oldest record may wait before people are warned (ms).
LAG_PATIENCE = 120_000


class OutboxJob(msgspec.Struct):
    """A job that has ended, as its hash has it: the fields are those of archive_take.lua, as texts."""

    id: str
    #: Among the jobs of its event.
    place: int
    scope: str
    row: tuple[str, str, str, str, str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class OutboxLog:
    """The log of an attempt, as the ledger stores it (lanes/log_records.py)."""

    #: The job and the number of the attempt.
    member: str
    scope: str
    log: bytes
    #: What was sent and answered, as JSON; empty if it is not kept.
    exchange: str
    #: 1 if it may replace an earlier log of the attempt.
    again: int


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event, as the ledger stores it (events/wire_event.py)."""

    ref: str
    record: bytes
    #: How often observing it failed.
    failures: int


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """Entries of one list, and what is to be archived of them."""

    list: str
    entries: Sequence[str]
    events: Sequence[OutboxEvent]
    jobs: Sequence[OutboxJob]
    logs: Sequence[OutboxLog]
    #: The scope and the record of each change of the audit.
    changes: Sequence[tuple[str, str]]

    @property
    def bytes(self) -> int:
        """The approximate size."""
        logs = sum(len(each.log) + len(each.exchange) for each in self.logs)
        return sum(len(each.record) for each in self.events) + logs + sum(len(each) for _, each in self.changes)

    def plus(self, other: "OutboxBatch") -> "OutboxBatch":
        """Return both batches as one, which has the name of the first one's list."""
        return OutboxBatch(
            self.list,
            [*self.entries, *other.entries],
            [*self.events, *other.events],
            [*self.jobs, *other.jobs],
            [*self.logs, *other.logs],
            [*self.changes, *other.changes],
        )

    @property
    def kept(self) -> Sequence[str]:
        """What the ledger notes as archived, for each entry; empty where there was nothing to archive."""
        kind = _kind(self.list)
        if kind == "audited":
            # The list of the scope has bounds of its own.
            return [""] * len(self.entries)
        if kind != "attempted":
            return self.entries
        times = {each.member: time_of_log(each.log) for each in self.logs}
        members = [entry.removeprefix("~") for entry in self.entries]
        return [f"={member}:{times[member]}" if member in times else "" for member in members]


class OutboxLag(msgspec.Struct, frozen=True):
    """How much waits to be archived, and for how long the oldest has waited (ms)."""

    waiting: int
    lag: int
    #: What is archived and still in the ledger.
    kept: int
    #: The process that archives; empty if none does.
    by: str = ""
    #: Records of the audit that the ledger's bounds have dropped before they were archived, ever.
    lost: int = 0


#: Of a ledger without a history.
NOTHING_WAITS = OutboxLag(0, 0, 0)


class _TakenEvent(msgspec.Struct):
    ref: str
    failures: int = 0


class _TakenLog(msgspec.Struct):
    member: str
    scope: str
    exchange: str
    again: int


class _Taken(msgspec.Struct):
    entries: list[str]
    events: list[_TakenEvent]
    jobs: list[OutboxJob]
    logs: list[_TakenLog]


def _kind(name: str) -> str:
    """Return the list of LISTS that a list belongs to: itself, or the one whose entries of a store it has."""
    return name.partition(":")[0]


def _change(entry: str) -> tuple[str, str]:
    scope, _, record = entry.partition(" ")
    return scope, record


_taken = msgspec.msgpack.Decoder(_Taken, strict=False)
_lag = msgspec.msgpack.Decoder(OutboxLag, strict=False)


class ArchiveOutbox:
    """The outbox, for one process (`owner`)."""

    def __init__(self, redis: RedisClient, owner: str) -> None:
        self._redis = redis
        self.owner = owner

    async def lease(self) -> bool:
        """Lease the outbox for ARCHIVE_LEASE, or renew the lease; return False if another process has it."""
        return bool(await self._redis.run("archive_lease", **self._leasing(), leaving=0))

    async def leave(self) -> None:
        """Give the lease back."""
        await self._redis.run("archive_lease", **self._leasing(), leaving=1)

    async def take(self, name: str, offset: int = 0, limit: int = ENTRIES_PER_CALL) -> OutboxBatch:
        """Return the entries of a list from `offset` on, without changing anything."""
        head, *records = await self._redis.run(
            "archive_take", list=name, offset=offset, limit=limit, byte_budget=REPLY_BYTE_BUDGET
        )
        found = _taken.decode(head)
        events = [
            OutboxEvent(each.ref, record, each.failures) for each, record in zip(found.events, records, strict=False)
        ]
        logs = [
            OutboxLog(each.member, each.scope, record, each.exchange, each.again)
            for each, record in zip(found.logs, records[len(events) :], strict=True)
        ]
        changes = [_change(entry) for entry in found.entries] if _kind(name) == "audited" else []
        return OutboxBatch(name, found.entries, events, found.jobs, logs, changes)

    async def done(self, batch: OutboxBatch) -> bool:
        """Take archived entries off; return False if another process has taken some of them off."""
        kept = batch.kept
        for first in range(0, len(batch.entries), ENTRIES_PER_CALL):
            chunk = slice(first, first + ENTRIES_PER_CALL)
            if not await self._done(batch.list, batch.entries[chunk], kept[chunk], again=False):
                return False
        return True

    async def sort(self, name: str, beyond: int) -> int:
        """Move the first entries of a list to the lists of their stores, if it has more than `beyond`.

        Returns how many were moved.
        """
        limit = 2 * ENTRIES_PER_CALL
        return int(await self._redis.run("archive_sort", list=name, beyond=beyond, limit=limit))

    async def turns(self, most: int) -> list[str]:
        """Return the stores' lists that have the next turns; done() and put_back() end a list's turn."""
        return [name.decode() for name in await self._redis.call("lrange", "turns", 0, most - 1)]

    async def put_back(self, batch: OutboxBatch) -> bool:
        """Move entries to the end of their list, so that others get their turn; return False as done() does."""
        return await self._done(batch.list, batch.entries, (), again=True)

    async def lag(self) -> OutboxLag:
        """Return how much waits."""
        return _lag.decode(await self._redis.run("archive_lag"))

    async def tombstones(self, most: int) -> list[str]:
        """Return some of the events that are to be erased from the history."""
        return [ref.decode() for ref in await self._redis.call("srandmember", "tombstones", number=most)]

    async def jobs_of(self, ref: str) -> list[str]:
        """Return the jobs of an event that the ledger names."""
        record, listed = await self._redis.atomically(("get", f"event:{ref}"), ("get", f"event:{ref}:jobs"))
        ids = first_job_of(record or b"") + (listed or b"").decode()
        return [ids[first : first + ID_BYTES] for first in range(0, len(ids), ID_BYTES)]

    async def erased(self, ref: str) -> None:
        """Note that the history has erased an event."""
        await self._redis.call("srem", "tombstones", ref)

    def _leasing(self) -> dict[str, object]:
        policy = self._redis.policy
        return {"owner": self.owner, "lease": ARCHIVE_LEASE, "known": policy.deduplication if policy.history else 0}

    async def _done(self, name: str, entries: Sequence[str], kept: Sequence[str], *, again: bool) -> bool:
        return bool(
            await self._redis.run("archive_done", list=name, entries=entries, kept=list(kept), again=int(again))
        )
