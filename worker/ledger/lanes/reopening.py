"""Redelivery: which jobs and missed events can be delivered again, and reopening them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from worker.domain.job import JobState
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.pages import Cursor
from worker.ledger.policy import MAX_JOBS_PER_CALL, check_size


@dataclass(frozen=True, slots=True)
class SelectedJobs:
    """A portion of what may be redelivered."""

    #: Job → what redeliver() would answer for it.
    jobs: Mapping[str, str]
    #: Jobs that would be among them, had retention kept their event.
    gone: int
    looked_at: int
    #: Where the next portion begins; None where there is none.
    next: Cursor | None


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
    """Jobs that may be delivered again.

    A call changes at most MAX_JOBS_PER_CALL jobs, and raises ValueError for more.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def redeliver(self, job_ids: Sequence[str], mark: str = "", states: Iterable[JobState] = ()) -> list[str]:
        """Reopens ended jobs and makes waiting ones due; answers what came of each.

        That is `reopened`, `due`, `in_flight`, `known` (a redelivery of the same `mark` had it before), `gone`, or
        `full`: for what has ended, its lane's backlog has no room now. With `states`, those of another one by now are
        left alone, and answered as `other`.
        """
        check_size(job_ids)
        policy = self._redis.policy
        answers = await self._redis.run_confirmed(
            "redeliver",
            jobs=job_ids,
            deadline=policy.job_deadline,
            backlog=policy.lane_backlog,
            backlog_bytes=policy.lane_backlog_bytes,
            event_retention=policy.event_retention,
            mark=mark,
            states={state.value: True for state in states},
        )
        return [answer.decode() for answer in answers]

    async def select(
        self, integration_id: str, cursor: Cursor, till: int, states: Iterable[JobState], mark: str
    ) -> SelectedJobs:
        """A portion of an integration's jobs that were opened from the cursor on to `till` (ms), in one of the states.

        Those that the redelivery `mark` had before are left out.
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

    async def open_missing(
        self, integration_id: str, jobs: Sequence[tuple[str, str]], *, dry_run: bool = False
    ) -> tuple[int, bool]:
        """Opens (job, event reference) of observed events that had no such job, due now; none is opened twice.

        Answers how many, and whether the lane's backlog left no room for more. With `dry_run` it opens none, and
        answers how many there are, whatever the backlog has room for now.
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
            event_retention=policy.event_retention,
            dry=int(dry_run),
        )
        done = _missing.decode(reply)
        return done.opened, bool(done.full)
