"""The counters of the ledger in each of the last minutes. lua/parts/pulse.lua writes them."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from worker.ledger.connection.redis_client import RedisClient

#: The longest gap between two lines that counts as one rate (minutes).
GAP_MOST = 5


class PulseLine(msgspec.Struct, frozen=True, array_like=True):
    """The ledger at the start of a minute (since 1970); the first three numbers are counters."""

    minute: int
    accepted: int
    attempts: int
    succeeded: int
    inbox: int
    pending: int


_line = msgspec.json.Decoder(PulseLine, strict=False)


class PulseReader:
    """Reads the pulse."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def read(self, minutes: int = 60) -> Sequence[PulseLine]:
        """Return the newest lines, the oldest first."""
        return [_line.decode(each) for each in await self._redis.call("lrange", "pulse", -minutes, -1)]


def rates(lines: Sequence[PulseLine], field: str) -> list[float]:
    """Return what a counter grew by per second between the lines; 0 where no line was written for long."""
    found = []
    for before, after in pairwise(lines):
        gap = after.minute - before.minute
        grown = max(0, getattr(after, field) - getattr(before, field))
        found.append(grown / (60 * gap) if 0 < gap <= GAP_MOST else 0.0)
    return found
