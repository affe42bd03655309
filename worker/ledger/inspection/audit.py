"""The audit of invariant 6, and of what hangs together with it: found and mended a chunk at a time, while work goes on.

Each chunk is looked at by one script, so that what it finds is so at one moment, whatever the fleet does meanwhile.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.policy import MAX_JOBS_PER_CALL

#: Events that one call looks at; one that opened more jobs is not looked at: to count them takes too long.
EVENTS_PER_CALL = 20
JOBS_PER_EVENT = 100
#: Names of what was found that are kept of each kind.
EXAMPLES = 5

#: What can be found → what it means, and what mending does.
PROBLEMS = {
    "no_record": "pending jobs without a record (keys were lost): they leave the list of what is owed",
    "ended": "ended jobs on the list of what is owed: they leave it",
    "due_and_leased": "jobs both due and in flight: their attempt is settled as lost, and they are due again",
    "due_and_owned": "due jobs that name a process: they no longer do",
    "nowhere": "jobs owed and neither due nor in flight: they are due now",
    "leased_to_nobody": "jobs in flight with nobody: their attempt is settled as lost, and they are due again",
    "due_not_owed": "entries of jobs that are not owed there among the due ones: they go",
    "leased_not_owed": "entries of jobs that are not owed there among those in flight: they go",
    "not_listed": "jobs owed that are not on the list of what is: they are put on it",
    "not_indexed": "lanes with due jobs that no sweep finds: they are put into the index",
    "wrongly_indexed": "lanes in the index, or held, that ought not to be: they are put where they belong",
    "wrong_size": "lanes that do not know of how many bytes their backlog is: counted again",
    "lease_of_another": "leases of jobs that are another's or ended: they go",
    "owner_not_reaped": "processes with leases that nobody would reap: they are reaped",
    "wrong_count": "events that do not know how many of their jobs are open: counted again",
    "kept_too_short": "events that are owed and would expire: they are kept",
    "kept_for_ever": "events that are owed to nobody and would stay: they expire",
}


class _Problems(msgspec.Struct):
    problems: list[tuple[str, str]]


_problems = msgspec.msgpack.Decoder(_Problems)


@dataclass
class AuditReport:
    """What an audit found, and how much it looked at."""

    jobs: int = 0
    lanes: int = 0
    events: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    #: Kind → some of the jobs, lanes, processes or events.
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """True where nothing was found."""
        return not self.counts

    def note(self, problems: list[tuple[str, str]]) -> None:
        """Takes what one call found."""
        for kind, name in problems:
            self.counts[kind] += 1
            examples = self.examples.setdefault(kind, [])
            if len(examples) < EXAMPLES:
                examples.append(name)


class Audit:
    """Looks at everything that the ledger has. `progress` is called with the report after each chunk."""

    def __init__(self, redis: RedisClient, progress: Callable[[AuditReport], None] = lambda _: None) -> None:
        self._redis = redis
        self._progress = progress

    async def run(self, *, repair: bool = False) -> AuditReport:
        """What is wrong; with `repair`, it is mended as it is found."""
        report, mend = AuditReport(), int(repair)
        # Each pass mends what the next ones rely on: what is owed must be listed before it can be missed in a lane.
        async for refs in self._events():
            await self._audit_events(report, refs, mend)
        async for owner, jobs in self._leases():
            await self._look(report, "audit_owner", owner=owner, jobs=jobs, repair=mend)
        async for jobs in self._scan_members("zscan", "pending"):
            report.jobs += len(jobs)
            await self._look(report, "audit_pending", jobs=jobs, repair=mend)
        for lane in sorted(await self._lanes()):
            report.lanes += 1
            await self._audit_lane(report, lane, mend)
        return report

    async def _look(self, report: AuditReport, script: str, **arguments: object) -> None:
        report.note(_problems.decode(await self._redis.run(script, **arguments)).problems)
        self._progress(report)

    async def _audit_events(self, report: AuditReport, refs: list[str], repair: int) -> None:
        for start in range(0, len(refs), EVENTS_PER_CALL):
            some = refs[start : start + EVENTS_PER_CALL]
            report.events += len(some)
            await self._look(
                report,
                "audit_events",
                refs=some,
                most=JOBS_PER_EVENT,
                event_retention=self._redis.policy.event_retention,
                repair=repair,
            )

    async def _audit_lane(self, report: AuditReport, lane: str, repair: int) -> None:
        due = [chunk async for chunk in self._scan_members("zscan", f"lane:{lane}:due")]
        leased = [chunk async for chunk in self._scan_members("sscan", f"lane:{lane}:leased")]
        # One call more than chunks, if need be: the lane's place in the index is looked at by each.
        for index in range(max(len(due), len(leased), 1)):
            await self._look(
                report,
                "audit_lane",
                lane=lane,
                due=due[index] if index < len(due) else [],
                leased=leased[index] if index < len(leased) else [],
                whole=int(len(due) <= 1),
                repair=repair,
            )

    async def _lanes(self) -> set[str]:
        """Every lane that has jobs, or that a sweep would find."""
        found: set[str] = set()
        for kind in (":due", ":leased"):
            async for names in self._scan(f"lane:*{kind}"):
                found.update(name.removesuffix(kind) for name in names)
        for command, index in (("zscan", "lanes"), ("sscan", "held")):
            async for members in self._scan_members(command, index):
                found.update(members)
        return found

    async def _leases(self) -> AsyncIterator[tuple[str, list[str]]]:
        """The owners of leases, and their jobs in chunks."""
        async for names in self._scan("owner:*:leases"):
            for name in names:
                owner = name.removesuffix(":leases")
                async for jobs in self._scan_members("sscan", f"owner:{owner}:leases"):
                    yield owner, jobs

    async def _events(self) -> AsyncIterator[list[str]]:
        async for names in self._scan("event:*"):
            if refs := [name for name in names if not name.endswith(":jobs")]:
                yield refs

    async def _scan(self, pattern: str) -> AsyncIterator[list[str]]:
        cursor = 0
        while True:
            cursor, names = await self._redis.scan(pattern, cursor)
            if names:
                yield names
            if not cursor:
                return

    async def _scan_members(self, command: str, key: str) -> AsyncIterator[list[str]]:
        """A set's members in chunks that one call may touch."""
        cursor = 0
        while True:
            cursor, found = await self._redis.call(command, key, cursor, count=MAX_JOBS_PER_CALL)
            members = [(each[0] if isinstance(each, tuple | list) else each).decode() for each in found]
            for start in range(0, len(members), MAX_JOBS_PER_CALL):
                yield members[start : start + MAX_JOBS_PER_CALL]
            if not cursor:
                return
