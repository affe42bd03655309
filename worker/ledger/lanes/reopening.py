"""Redelivery: select jobs and missed events that can be delivered again, and reopen them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from worker.domain.change import Change
from worker.domain.job import JobState
from worker.ledger.change_records import change_arguments
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.wire_event import head_of
from worker.ledger.pages import Cursor
from worker.ledger.policy import MAX_JOBS_PER_CALL, check_size


@dataclass(frozen=True, slots=True)
class SelectedJobs:
    """A page of the jobs that may be redelivered."""

    #: Job → the result that redeliver() would return for it.
    jobs: Mapping[str, str]
    #: Jobs that are left out because retention has dropped their event.
    gone: int
    looked_at: int
    #: The start of the next page; None if this is the last one.
    next: Cursor | None


#: Selects a page of an integration's jobs, as Reopening.select() does.
SelectJobs = Callable[[str, Cursor, int, Iterable[JobState], str], Awaitable[SelectedJobs]]


@dataclass(frozen=True, slots=True)
class RestoredEvent:
    """An event of the history: its record, and the ids of all its jobs."""

    ref: str
    record: bytes
    job_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class RestoredJob:
    """An ended job of the history."""

    id: str
    event_ref: str
    integration_id: str
    state: str
    reason: str
    attempts: int
    base: int
    epoch: int
    lost: int
    opened_at: int
    ended_at: int
    marks: str

    @property
    def row(self) -> list[str]:
        """The fields of its hash, in the order of restore.lua."""
        numbers = (self.attempts, self.base, self.epoch, self.lost, self.opened_at, self.ended_at)
        return [self.state, self.reason, *map(str, numbers), self.event_ref, self.integration_id, self.marks]


class _Selected(msgspec.Struct):
    jobs: list[tuple[str, str]]
    gone: int
    looked_at: int
    since: int
    after: str
    done: int


class _Missing(msgspec.Struct):
    opened: int
    full: int


_selected = msgspec.msgpack.Decoder(_Selected)
_missing = msgspec.msgpack.Decoder(_Missing)


class Reopening:
    """Reopens jobs, so that they are delivered again.

    A call changes at most MAX_JOBS_PER_CALL jobs, and raises ValueError for more.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def redeliver(
        self,
        job_ids: Sequence[str],
        mark: str = "",
        states: Iterable[JobState] = (),
        *,
        change: Change | None = None,
    ) -> list[str]:
        """Reopen ended jobs, and make waiting ones due now.

        Args:
            job_ids: The jobs.
            mark: The id of the redelivery; empty for none.
            states: Only jobs in these states are changed; empty for any state.
            change: The audit's record, which is written if a job changes.

        Returns:
            One word for each job: `reopened`, `due`, `in_flight`, `known`, `other`, `full` or `gone`; redeliver.lua
            explains them.
        """
        check_size(job_ids)
        policy = self._redis.policy
        answers = await self._redis.run_confirmed(
            "redeliver",
            jobs=job_ids,
            deadline=policy.job_deadline,
            backlog=policy.lane_backlog,
            backlog_bytes=policy.lane_backlog_bytes,
            mark=mark,
            states={state.value: True for state in states},
            **change_arguments(change, policy),
        )
        return [answer.decode() for answer in answers]

    def selections(self) -> Mapping[str, SelectJobs]:
        """Return what selects pages of jobs, one after the other, each with its name in a cursor."""
        return {"jobs": self.select}

    async def select(
        self, integration_id: str, cursor: Cursor, till: int, states: Iterable[JobState], mark: str
    ) -> SelectedJobs:
        """Return a page of an integration's jobs in the states that were opened from the cursor up to `till` (ms).

        Jobs that the redelivery `mark` has handled before are left out.
        """
        reply = await self._redis.run(
            "select_jobs",
            integration=integration_id,
            since=cursor.since,
            after=cursor.after,
            till=till,
            limit=MAX_JOBS_PER_CALL,
            states={state.value: True for state in states},
            mark=mark,
        )
        found = _selected.decode(reply)
        following = None if found.done else Cursor(found.since, found.after)
        return SelectedJobs(dict(found.jobs), found.gone, found.looked_at, following)

    async def restore(self, events: Sequence[RestoredEvent], jobs: Sequence[RestoredJob]) -> int:
        """Put events and ended jobs back into the ledger; return the number of jobs. Repeating is safe.

        What is not reopened is forgotten again. Raises LedgerFull as accept() does.
        """
        check_size(jobs)
        await self._redis.refuse_over_water()
        return int(
            await self._redis.run_confirmed(
                "restore",
                events=[
                    {"ref": each.ref, "scope": head_of(each.record).scope, "jobs": "".join(each.job_ids)}
                    for each in events
                ],
                jobs=[{"id": each.id, "row": each.row} for each in jobs],
                blobs=[each.record for each in events],
            )
        )

    async def open_missing(
        self,
        integration_id: str,
        jobs: Sequence[tuple[str, str]],
        *,
        dry_run: bool = False,
        change: Change | None = None,
    ) -> tuple[int, bool]:
        """Open missing jobs (job, event reference) of observed events, due now. No job is opened twice.

        Returns the number of opened jobs, and whether the lane's backlog was too full for more. With `dry_run` nothing
        is opened: the number counts all missing jobs, even if the backlog is full now. `change` is the audit's record,
        which is written if a job is opened.
        """
        check_size(jobs)
        policy = self._redis.policy
        reply = await self._redis.run_confirmed(
            "open_missing",
            lane=integration_id,
            jobs=[{"id": job, "ref": ref} for job, ref in jobs],
            deadline=policy.job_deadline,
            backlog=policy.lane_backlog,
            backlog_bytes=policy.lane_backlog_bytes,
            dry=int(dry_run),
            **change_arguments(change, policy),
        )
        done = _missing.decode(reply)
        return done.opened, bool(done.full)
