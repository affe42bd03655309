"""Erasure of events: their data, the answers to them, and their entry in the index of their resource."""

import msgspec

from worker.domain.change import Change
from worker.ledger.change_records import change_arguments
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.wire_event import without_data

#: Jobs of an event that one call erases, with all their logs.
JOBS_PER_ERASURE = 20


class _Erased(msgspec.Struct):
    found: int
    jobs: int
    left: int


_erased = msgspec.msgpack.Decoder(_Erased)


class Erasure:
    """Erases events. What a caller that died has begun, the sweeps finish."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def erase(self, ref: str, change: Change | None = None) -> bool:
        """Erase an event; return False if it is not kept. Repeating is safe, and recorded once.

        Its data is gone after the first call of the ledger; its jobs follow chunk by chunk. An attempt that is in
        flight goes on with what its process has; the answer to it is not kept.
        """
        record: bytes | None = await self._redis.call("get", f"event:{ref}")
        if record is None:
            return False
        arguments = change_arguments(change, self._redis.policy) | {"history": int(self._redis.policy.history)}
        found = await self._chunk(ref, blobs=[without_data(record)], **arguments)
        while found.found and found.left:
            found = await self._chunk(ref)
        return bool(found.found)

    async def bury(self, ref: str, change: Change | None = None) -> None:
        """Note that an event, which only the history has, is to be erased there."""
        await self._redis.run_confirmed("bury", ref=ref, **change_arguments(change, self._redis.policy))

    async def resume(self) -> int:
        """Go on with an erasure that was begun, and whose caller may be dead; return how many jobs were erased."""
        for ref in await self._redis.call("srandmember", "erasing", number=1):
            return (await self._chunk(ref.decode())).jobs
        return 0

    async def _chunk(self, ref: str, **arguments: object) -> _Erased:
        reply = await self._redis.run_confirmed("erase", ref=ref, limit=JOBS_PER_ERASURE, **arguments)
        return _erased.decode(reply)
