"""The processes of the fleet: their heartbeats, the leases of dead ones, and sweeps."""

from collections.abc import Sequence

import msgspec

from worker.domain.claim import Claim
from worker.domain.lifecycle import LIFECYCLE_KEYS, ExhaustedJobs
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.lanes.claim_calls import ClaimCalls
from worker.ledger.lanes.claims import claimed_of
from worker.ledger.lease import NO_TERM, Lease
from worker.ledger.policy import JOBS_PER_CALL, MAX_JOBS_PER_CALL, REPLY_BYTE_BUDGET
from worker.ledger.process_identity import ProcessIdentity, dead_owners

#: Ended jobs and events that one call forgets: 1-2 ms of Redis's time.
FORGOTTEN_PER_CALL = 200


class Overdue(msgspec.Struct, frozen=True):
    """An event or lane that waits for service; `tries` counts the announcements since it was last served."""

    id: str
    tries: int


class Sweep(msgspec.Struct, frozen=True):
    """The result of a sweep; `wait` is the time until the next event or lane is due (ms), -1 if there is none."""

    events: list[Overdue]
    lanes: list[Overdue]
    wait: int
    #: The outbox: integrations that the fleet has disabled and not yet announced.
    unannounced: list[str] = []
    #: The outbox: transitions that no lifecycle event has reported (see notice_of()), and jobs that failed for good.
    notices: list[str] = []
    exhausted: list[ExhaustedJobs] = []
    #: Whether a process is registered that observes new events at once.
    observed: bool = False
    #: Whether no other worker process is in the fleet.
    alone: bool = False


class CutBacklog(msgspec.Struct, frozen=True):
    """The largest backlog, which lost jobs because all backlogs together took too much of Redis's memory."""

    #: The integration; empty if no backlog was cut.
    lane: str
    #: The number of cancelled jobs.
    jobs: int
    #: Bytes that this backlog took before, and all backlogs together.
    bytes: int
    sum: int


_sweep = msgspec.msgpack.Decoder(Sweep)
_cut = msgspec.msgpack.Decoder(CutBacklog)


class Fleet:
    """This process as a member of the fleet.

    Args:
        owner: This process's name in the ledger.
        identity: What the name says of this process.
        calls: The calls that lease jobs to this process.
        lease: This process's lease.
    """

    def __init__(
        self, redis: RedisClient, owner: str, identity: ProcessIdentity, calls: ClaimCalls, lease: Lease
    ) -> None:
        self._redis = redis
        self._owner = owner
        self._identity = identity
        self._home = identity.home if identity.has_home else ""
        self._calls = calls
        self.lease = lease

    async def renew(self) -> bool:
        """Write the heartbeat; return False if the ledger did not know the process, or no longer knew it."""
        asked_at, term = self.lease.now(), self.lease.term
        policy = self._redis.policy
        known = bool(await self._redis.run("renew", owner=self._owner, lease=policy.lease, home=self._home))
        self.lease.renewed(asked_at, lost=not known and term != NO_TERM)
        return known

    async def retire(self) -> int:
        """Leave the fleet; return the number of remaining leases, which other processes will take over."""
        return int(await self._redis.run("retire", owner=self._owner, home=self._home))

    async def dead_neighbours(self) -> list[str]:
        """Return the processes of the ledger that ran on this machine, in this PID namespace, and have died."""
        if not self._home:
            return []
        members = await self._redis.call("smembers", f"home:{self._home}")
        return dead_owners([each.decode() for each in members], self._identity)

    async def seize(self, idle: Sequence[str] = (), dead: Sequence[str] = ()) -> list[Claim]:
        """Take over the attempts of dead processes, to be settled as lost.

        Args:
            dead: Processes of this machine that have died for certain; they are dead before their leases run out.
            idle: Ids of this process's own leased jobs without an attempt in flight. They are settled as lost too,
                except those leased by a call whose reply was lost: they were never started, and are given back.
        """
        reply = await self._redis.run(
            "seize",
            owner=self._owner,
            lease=self._redis.policy.lease,
            limit=JOBS_PER_CALL,
            byte_budget=REPLY_BYTE_BUDGET,
            home=self._home,
            dead=dead,
            idle=await self._over(idle[:JOBS_PER_CALL]),
        )
        return claimed_of(reply, lambda: NO_TERM).claims

    async def _over(self, idle: Sequence[str]) -> list[dict[str, object]]:
        """Return the leases that no pending call can still return, each with the call that leased it."""
        oldest = self._calls.oldest
        rows = await self._redis.hashes([f"job:{job}" for job in idle], "call")
        found = {job: int(row.get("call", 0)) for job, row in zip(idle, rows, strict=True)}
        return [
            {"job": job, "call": call, "answered": self._calls.was_answered(call)}
            for job, call in found.items()
            if call < oldest
        ]

    async def sweep(self) -> Sweep:
        """Return overdue inbox events and lanes. Only this process announces them.

        At most JOBS_PER_CALL of each; `wait` is 0 if there are more.
        """
        announce = self._redis.policy.announce
        return _sweep.decode(await self._redis.run("sweep", announce=announce, limit=JOBS_PER_CALL))

    async def expire(self) -> int:
        """End jobs past their deadline, beyond their lane's backlog, or of deleted integrations.

        Returns the number of ended jobs, at most JOBS_PER_CALL.
        """
        policy = self._redis.policy
        return int(
            await self._redis.run(
                "expire",
                limit=JOBS_PER_CALL,
                backlog=policy.lane_backlog,
                backlog_bytes=policy.lane_backlog_bytes,
                quiet=dict.fromkeys(LIFECYCLE_KEYS, True),
            )
        )

    async def cut_backlogs(self) -> CutBacklog | None:
        """Cancel the oldest jobs of the largest backlog if all together take too much of Redis's memory.

        Returns what was cut, at most MAX_JOBS_PER_CALL jobs, or None.
        """
        share = await self._redis.backlog_share()
        if not share:
            return None
        cut = _cut.decode(await self._redis.run("cut_backlogs", share=share, limit=MAX_JOBS_PER_CALL))
        return cut if cut.jobs else None

    async def forget(self) -> int:
        """Delete jobs and events that ended longer ago than EDW_EVENT_RETENTION, the oldest first.

        With a history, delete what was archived long enough ago, with its logs, and nothing else.

        What was cut because Redis has no memory for it is deleted at once while that lasts.

        Returns how many entries it has worked off, at most FORGOTTEN_PER_CALL.
        """
        policy = self._redis.policy
        return int(
            await self._redis.run(
                "forget",
                limit=FORGOTTEN_PER_CALL,
                event_retention=policy.event_retention,
                log_retention=policy.log_retention,
                short=int(bool(await self._redis.backlog_share())),
                history=int(policy.history),
                window=policy.window,
            )
        )

    async def leases(self) -> Sequence[str]:
        """Return the ids of the jobs that are leased to this process."""
        return [job.decode() for job in await self._redis.call("smembers", f"owner:{self._owner}:leases")]
