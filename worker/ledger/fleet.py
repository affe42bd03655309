"""The processes of the fleet: heartbeats, the leases of the dead, and what a sweep finds."""

from collections.abc import Sequence

import msgspec

from worker.domain.claim import Claim
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.lanes.claim_calls import ClaimCalls
from worker.ledger.lanes.claims import claims_of
from worker.ledger.policy import JOBS_PER_CALL, REPLY_BYTE_BUDGET


class Overdue(msgspec.Struct, frozen=True):
    """An event or lane that wants service, and how often it was announced since it last got some."""

    id: str
    tries: int


class Sweep(msgspec.Struct, frozen=True):
    """What a sweep found; `wait` is how long (ms) until the next is due, or -1 where nothing is."""

    events: list[Overdue]
    lanes: list[Overdue]
    wait: int
    #: Integrations that the fleet has disabled and has not announced yet.
    unannounced: list[str] = []


_sweep = msgspec.msgpack.Decoder(Sweep)


class Fleet:
    """This process among the others."""

    def __init__(self, redis: RedisClient, owner: str, calls: ClaimCalls) -> None:
        self._redis = redis
        self._owner = owner
        self._calls = calls

    async def renew(self) -> bool:
        """The heartbeat; False where the process was not (or no longer) known."""
        return bool(await self._redis.run("renew", owner=self._owner, lease=self._redis.policy.lease))

    async def retire(self) -> int:
        """Leaves the fleet; answers how many leases were left, which others will reap."""
        return int(await self._redis.run("retire", owner=self._owner))

    async def seize(self, strays: Sequence[str] = ()) -> list[Claim]:
        """Takes over attempts of dead processes, and this one's own strays, to be settled as lost.

        Strays that came by a call whose reply was lost were never begun, and are given back instead.
        """
        reply = await self._redis.run(
            "seize",
            owner=self._owner,
            lease=self._redis.policy.lease,
            limit=JOBS_PER_CALL,
            byte_budget=REPLY_BYTE_BUDGET,
            event_retention=self._redis.policy.event_retention,
            strays=await self._over(strays[:JOBS_PER_CALL]),
        )
        return claims_of(reply)[0]

    async def _over(self, strays: Sequence[str]) -> list[dict[str, object]]:
        """Those that no call can bring any more, with what is known of the one that they were leased by."""
        oldest = self._calls.oldest
        rows = await self._redis.hashes([f"job:{job}" for job in strays], "call")
        found = {job: int(row.get("call", 0)) for job, row in zip(strays, rows, strict=True)}
        return [
            {"job": job, "call": call, "answered": self._calls.was_answered(call)}
            for job, call in found.items()
            if call < oldest
        ]

    async def sweep(self) -> Sweep:
        """Overdue inbox events and lanes; each is this process's alone to announce.

        At most JOBS_PER_CALL of each; `wait` is 0 where there are more."""
        announce = self._redis.policy.announce
        return _sweep.decode(await self._redis.run("sweep", announce=announce, limit=JOBS_PER_CALL))

    async def expire(self) -> int:
        """Ends jobs past their deadline, beyond their lane's backlog or of deleted integrations.

        Answers how many, at most JOBS_PER_CALL.
        """
        policy = self._redis.policy
        return int(
            await self._redis.run(
                "expire",
                limit=JOBS_PER_CALL,
                event_retention=policy.event_retention,
                backlog=policy.lane_backlog,
                backlog_bytes=policy.lane_backlog_bytes,
            )
        )

    async def leases(self) -> Sequence[str]:
        """Ids of the jobs that the ledger holds to be in flight here."""
        return [job.decode() for job in await self._redis.call("smembers", f"owner:{self._owner}:leases")]
