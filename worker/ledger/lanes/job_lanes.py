"""Jobs and their lanes: open, claim, settle, give back and read them. reopening.py reopens jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Self

from worker.domain.claim import Claim
from worker.domain.job import Job
from worker.domain.stored_event import StoredEvent
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.lanes.claim_calls import ClaimCalls
from worker.ledger.lanes.claims import (
    Claimed,
    LaneStanding,
    Opened,
    Opening,
    claimed_of,
    observed,
    opened_of,
    standings_of,
)
from worker.ledger.lanes.job_rows import jobs_of
from worker.ledger.lanes.log_records import encoded_log
from worker.ledger.lanes.settlements import Settled, Settlement, item_of, settled_of
from worker.ledger.lease import Lease
from worker.ledger.pages import Page
from worker.ledger.policy import MAX_JOBS_PER_CALL, REPLY_BYTE_BUDGET, by_message, check_size

#: No limits besides each lane's quota.
NO_LIMITS: Mapping[str, int] = MappingProxyType({})


class JobLanes:
    """The jobs and lanes of the ledger, for one process (`owner`).

    A call that changes jobs takes at most MAX_JOBS_PER_CALL of them and raises ValueError for more, because a script
    blocks all other calls of Redis.
    """

    def __init__(self, redis: RedisClient, owner: str, calls: ClaimCalls, lease: Lease) -> None:
        self._redis = redis
        self.owner = owner
        self._calls = calls
        self._lease = lease
        policy = redis.policy
        self._settling = {
            "owner": owner,
            "log_retention": policy.log_retention,
            "log_cap": policy.log_cap,
            "history": int(policy.history),
        }
        # Only failures need these.
        self._failing = self._settling | {"circuit": asdict(policy.circuit), "broken": asdict(policy.broken)}

    async def open(
        self,
        openings: Iterable[tuple[StoredEvent, Sequence[Opening], bool]],
        room: int,
        limits: Mapping[str, int] = NO_LIMITS,
        filtered: Mapping[str, int] = NO_LIMITS,
        versions: Mapping[str, int] = NO_LIMITS,
    ) -> Opened:
        """Open jobs of events, and lease some of them to this process at once.

        Args:
            openings: (event, its jobs, whether these are its last ones), at most MAX_JOBS_PER_CALL jobs in all.
            room: The most jobs to lease at once; their lanes need free slots too.
            limits: The most jobs to lease of some lanes.
            filtered: How many integrations observe an event, by its reference, and do not get it.
            versions: The version of its scope's integrations by which an event was matched, by its reference. If they
                have changed since, it is not opened. An event that was loaded has none.
        """
        given = list(openings)
        check_size([job for _, jobs, _ in given for job in jobs])
        policy, asked_at = self._redis.policy, self._lease.now()
        with self._calls.begun() as call:
            reply = await self._redis.run(
                "open",
                owner=self.owner,
                call=call,
                lease=policy.lease,
                room=min(room, MAX_JOBS_PER_CALL),
                limits=dict(limits),
                announce=policy.announce,
                deadline=policy.job_deadline,
                backlog=policy.lane_backlog,
                backlog_bytes=policy.lane_backlog_bytes,
                events=[
                    observed(stored, jobs, last, filtered.get(stored.ref, 0), versions.get(stored.ref))
                    for stored, jobs, last in given
                ],
            )
            return opened_of(reply, [stored for stored, _, _ in given], partial(self._lease.renewed, asked_at), call)

    async def claim(self, lanes: Sequence[str], room: int, limits: Mapping[str, int] = NO_LIMITS) -> Claimed:
        """Lease up to `room` due jobs of the lanes to this process.

        Each lane gives up to its quota, and a lane in `limits` no more than is said there.
        """
        asked_at = self._lease.now()
        with self._calls.begun() as call:
            reply = await self._redis.run(
                "claim",
                owner=self.owner,
                call=call,
                lease=self._redis.policy.lease,
                room=min(room, MAX_JOBS_PER_CALL),
                lanes=lanes,
                limits=dict(limits),
                byte_budget=REPLY_BYTE_BUDGET,
            )
            claimed = claimed_of(reply, partial(self._lease.renewed, asked_at), call)
        self._redis.observer.left_to_newer(claimed.newer)
        return claimed

    async def standings(self, lanes: Sequence[str]) -> dict[str, LaneStanding]:
        """Return what the fleet knows of those of the lanes that exist."""
        return standings_of(await self._redis.run("standings", lanes=lanes))

    async def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Write the outcomes of attempts with their logs. Repeating a call whose reply was lost is safe."""
        check_size(settlements)
        given = self._failing if any(each.healthy is False for each in settlements) else self._settling
        items = [item_of(each) for each in settlements]
        logs = [encoded_log(each.log) for each in settlements]
        return settled_of(await self._redis.run("settle", **given, items=items, blobs=logs))

    async def release(self, claims: Sequence[Claim]) -> int:
        """Give back leased jobs that were never started, and take their attempt numbers back.

        Returns the number of jobs given back. Repeating a call whose reply was lost is safe: a later claim of the same
        job stays.
        """
        check_size(claims)
        jobs = [{"job": each.job_id, "attempt": each.attempt, "call": each.call} for each in claims]
        return int(await self._redis.run("release", owner=self.owner, jobs=jobs))

    async def get(self, job_ids: Sequence[str]) -> list[Job]:
        """Return those of the jobs that retention has not dropped, in the order given."""
        found: list[Job] = []
        for ids in by_message(job_ids):
            reply = await self._redis.run("show_jobs", jobs=ids)
            found += jobs_of(reply).items
        return found

    def until(self, till: int | None) -> Self:
        """Return a reader whose lists may leave out what is newer than `till` (ms), where that reaches further back."""
        return self

    async def of_integration(self, integration_id: str, offset: int, limit: int) -> Page[Job]:
        """Return a page of an integration's jobs, the newest first, with the integration's scope."""
        reply = await self._redis.run("page_jobs", integration=integration_id, offset=offset, limit=limit)
        return jobs_of(reply)

    async def ids_of(self, integration_id: str, most: int) -> list[str]:
        """Return ids of an integration's jobs, the newest first; at most `most`."""
        return await self._redis.newest(f"jobs:{integration_id}", 0, most)

    async def pending(self, offset: int, limit: int) -> list[str]:
        """Return ids of pending jobs, the one nearest to its deadline first."""
        found = await self._redis.call("zrange", "pending", offset, offset + limit - 1)
        return [job.decode() for job in found]
