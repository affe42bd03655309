"""Lanes whose last attempt failed, of all stores or of one. lua/parts/failing_index.lua lists them."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from worker.domain.event import Scope
from worker.ledger.connection.redis_client import RedisClient

#: Lanes that one call reads: 1-2 ms of Redis's time.
FAILING_MOST = 500


class FailingLane(msgspec.Struct, frozen=True):
    """A lane whose last attempt failed. Times are milliseconds since 1970."""

    id: str
    #: The key of its scope.
    scope: str
    since: int
    attempts: int
    #: The last failure, in words.
    why: str
    #: `paused`, `disabled` or empty.
    hold: str
    #: `open`, `half` or empty.
    circuit: str
    open_until: int


@dataclass(frozen=True, slots=True)
class FailingReceivers:
    """Some failing lanes, those that began to fail last first, and the number of all."""

    lanes: Sequence[FailingLane]
    total: int


class _Reply(msgspec.Struct):
    total: int
    lanes: list[FailingLane]


_reply = msgspec.msgpack.Decoder(_Reply, strict=False)


class FailingIndex:
    """Reads the index of failing lanes."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def read(self, scope: Scope | None = None, limit: int = FAILING_MOST, offset: int = 0) -> FailingReceivers:
        """Return failing lanes of a scope, or of all scopes, after the first `offset` ones."""
        index = "failing" if scope is None else f"failing:{scope.key}"
        found = _reply.decode(await self._redis.run("failing", index=index, offset=offset, limit=limit))
        return FailingReceivers(found.lanes, found.total)

    async def ids(self, scope: Scope, limit: int) -> Sequence[str]:
        """Return the ids of a scope's failing lanes, those that began to fail last first."""
        return [each.decode() for each in await self._redis.call("zrevrange", f"failing:{scope.key}", 0, limit - 1)]
