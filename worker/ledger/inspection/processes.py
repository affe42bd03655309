"""The processes of the fleet."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.ledger.connection.redis_client import RedisClient

#: Processes that are read at most.
PROCESSES_MOST = 500


@dataclass(frozen=True, slots=True)
class FleetProcess:
    """A worker process, as the ledger knows it."""

    owner: str
    #: Time until its lease ends (ms); negative if it has run out.
    lease_left: int
    in_flight: int


class ProcessReader:
    """Reads the workers that hold a lease."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def read(self) -> Sequence[FleetProcess]:
        """Return the workers, the one whose lease ends last first."""
        now = await self._redis.now()
        found = await self._redis.call("zrevrange", "owners", 0, PROCESSES_MOST - 1, withscores=True)
        owners = [(owner.decode(), int(until)) for owner, until in found]
        if not owners:
            return []
        counts = await self._redis.atomically(*(("scard", f"owner:{owner}:leases") for owner, _ in owners))
        return [FleetProcess(owner, until - now, count) for (owner, until), count in zip(owners, counts, strict=True)]
