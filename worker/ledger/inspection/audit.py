"""The audit of invariant 6 and of related records. It checks and repairs in chunks while the fleet works on.

One script checks each chunk, so its findings are true at one moment, whatever the fleet does meanwhile.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.policy import MAX_JOBS_PER_CALL

#: Events that one call checks.
EVENTS_PER_CALL = 20
#: An event with more jobs is not checked: to count them takes too long.
JOBS_PER_EVENT = 100
#: Examples that the report keeps of each kind of problem.
EXAMPLES = 5

#: Kind of problem → its meaning, a colon, and what the repair does.
PROBLEMS = {
    "no_record": "pending jobs whose record is lost: they are removed from the list of pending jobs",
    "ended": "ended jobs in the list of pending jobs: they are removed from it",
    "due_and_leased": "jobs both due and in flight: their attempt is settled as lost, and they are due again",
    "due_and_owned": "due jobs that still name a process: the name is removed",
    "nowhere": "pending jobs that are neither due nor in flight: they are due now",
    "leased_to_nobody": "jobs in flight without a process: their attempt is settled as lost, and they are due again",
    "due_not_owed": "due entries of jobs that have ended or belong to another lane: they are removed",
    "leased_not_owed": "in-flight entries of jobs that have ended or belong to another lane: they are removed",
    "not_listed": "pending jobs that are missing from the list of pending jobs: they are added to it",
    "not_indexed": "lanes with due jobs that no sweep finds: they are added to the index",
    "wrongly_indexed": "lanes wrongly in the index, or wrongly marked as held: their marks are corrected",
    "wrong_size": "lanes with a wrong count of the bytes in their backlog: the bytes are counted again",
    "lease_of_another": "leases of jobs that have ended or belong to another process: they are removed",
    "owner_not_reaped": "processes whose leases no sweep would take over: their leases are taken over",
    "wrong_count": "events with a wrong count of pending jobs: the jobs are counted again",
    "kept_for_ever": "ended jobs and events that no sweep would forget: the next sweep forgets them",
}


class _Problems(msgspec.Struct):
    problems: list[tuple[str, str]]


_problems = msgspec.msgpack.Decoder(_Problems)


@dataclass
class AuditReport:
    """The findings of an audit, and how many jobs, lanes and events it checked."""

    jobs: int = 0
    lanes: int = 0
    events: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    #: Kind of problem → some of its jobs, lanes, processes or events.
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether no problem was found."""
        return not self.counts

    def note(self, problems: list[tuple[str, str]]) -> None:
        """Add the problems that one call found."""
        for kind, name in problems:
            self.counts[kind] += 1
            examples = self.examples.setdefault(kind, [])
            if len(examples) < EXAMPLES:
                examples.append(name)


class Audit:
    """A check of everything in the ledger. It calls `progress` with the report after each chunk."""

    def __init__(self, redis: RedisClient, progress: Callable[[AuditReport], None] = lambda _: None) -> None:
        self._redis = redis
        self._progress = progress

    async def run(self, *, repair: bool = False) -> AuditReport:
        """Check the whole ledger and return the report; with `repair`, repair each problem when it is found."""
        report, mend = AuditReport(), int(repair)
        # Each pass repairs what the next ones rely on: a lane's check needs a complete list of pending jobs.
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
        # At least one call, even without jobs: each call checks the lane's place in the index.
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
        """Return every lane that has jobs or is in an index."""
        found: set[str] = set()
        for kind in (":due", ":leased"):
            async for names in self._scan(f"lane:*{kind}"):
                found.update(name.removesuffix(kind) for name in names)
        for command, index in (("zscan", "lanes"), ("sscan", "held")):
            async for members in self._scan_members(command, index):
                found.update(members)
        return found

    async def _leases(self) -> AsyncIterator[tuple[str, list[str]]]:
        """Yield each owner of leases with its jobs, in chunks."""
        async for names in self._scan("owner:*:leases"):
            for name in names:
                owner = name.removesuffix(":leases")
                async for jobs in self._scan_members("sscan", f"owner:{owner}:leases"):
                    yield owner, jobs

    async def _events(self) -> AsyncIterator[list[str]]:
        async for names in self._scan("event:*"):
            if refs := [name for name in names if ":" not in name]:
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
        """Yield a set's members in chunks that one call may touch."""
        cursor = 0
        while True:
            cursor, found = await self._redis.call(command, key, cursor, count=MAX_JOBS_PER_CALL)
            members = [(each[0] if isinstance(each, tuple | list) else each).decode() for each in found]
            for start in range(0, len(members), MAX_JOBS_PER_CALL):
                yield members[start : start + MAX_JOBS_PER_CALL]
            if not cursor:
                return
