"""The attempts of a lane in each of the last 24 hours, and on each day. lua/parts/activity.lua writes them."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.policy import by_message

#: Upper bounds of an attempt's time (ms), as in activity.lua; None is beyond all of them.
BOUNDS: tuple[int | None, ...] = (100, 250, 500, 1_000, 3_000, None)
HOURS = 24

_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_COUNTERS = 2 + len(BOUNDS)
_HEAD = struct.Struct(">q")
_HOUR = struct.Struct(f">{_COUNTERS}I")


@dataclass(frozen=True, slots=True)
class HourActivity:
    """The attempts of an hour: all of them, those that failed, and how many took as long as each of BOUNDS."""

    attempts: int = 0
    failed: int = 0
    by_time: tuple[int, ...] = (0,) * len(BOUNDS)


@dataclass(frozen=True, slots=True)
class LaneActivity:
    """The last 24 hours of a lane, the oldest first; the last one is not over."""

    hours: tuple[HourActivity, ...] = (HourActivity(),) * HOURS
    #: Milliseconds since 1970; 0 if there was none in the last day or two.
    last_success: int = 0

    @property
    def attempts(self) -> int:
        """All attempts."""
        return sum(each.attempts for each in self.hours)

    @property
    def success_rate(self) -> float | None:
        """The share of attempts that succeeded; None without an attempt."""
        return 1 - sum(each.failed for each in self.hours) / self.attempts if self.attempts else None

    @property
    def p95(self) -> tuple[int | None] | None:
        """The bound (ms) within which 95 % of the attempts ended, `(None,)` beyond all bounds; None without any."""
        counts = [sum(column) for column in zip(*(each.by_time for each in self.hours), strict=True)]
        reached, wanted = 0, sum(counts) * 0.95
        for bound, count in zip(BOUNDS, counts, strict=True):
            reached += count
            if count and reached >= wanted:
                return (bound,)
        return None


@dataclass(frozen=True, slots=True)
class DayActivity:
    """The attempts of a day of ledger time in UTC, and those that failed."""

    #: Days since 1970.
    day: int
    attempts: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class LaneDays:
    """The days of a lane, the oldest first, without a gap; the last one is not over."""

    days: Sequence[DayActivity]
    #: The history does not answer: only days of the ledger are there.
    history_away: bool = False


class ActivityReader:
    """Reads the activity of lanes."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def of_lanes(self, ids: Sequence[str]) -> Mapping[str, LaneActivity]:
        """Return the activity of each of the lanes."""
        hour, days = await self._days(ids)
        return {each: activity_of(yesterday, today, hour) for each, yesterday, today in days}

    async def success_rates(self, ids: Sequence[str]) -> Mapping[str, float | None]:
        """Return the share of attempts in the last 24 hours that succeeded, of each of the lanes; None without any."""
        hour, days = await self._days(ids)
        return {each: success_rate_of(yesterday, today, hour) for each, yesterday, today in days}

    async def by_day(self, lane: str, most: int) -> LaneDays:
        """Return the last days of a lane, at most `most`; the ledger alone has two."""
        today = await self._redis.now() // _DAY_MS
        found = await self._redis.run("lane_activity", ids=[lane], days=[today - 1, today])
        return LaneDays([_day(today - 1 + index, raw or b"") for index, raw in enumerate(found)][-most:])

    async def _days(self, ids: Sequence[str]) -> tuple[int, list[tuple[str, bytes, bytes]]]:
        """Return the present hour of the day, and the records of yesterday and today of each lane."""
        if not ids:
            return 0, []
        hour = await self._redis.now() // _HOUR_MS
        day = hour // HOURS
        found: list[bytes] = []
        for some in by_message(ids):
            raws = await self._redis.run("lane_activity", ids=some, days=[day - 1, day])
            found += [raw or b"" for raw in raws]
        return hour % HOURS, list(zip(ids, found[0::2], found[1::2], strict=True))


def _day(day: int, record: bytes) -> DayActivity:
    hours = _hours(record)
    return DayActivity(day, sum(each.attempts for each in hours), sum(each.failed for each in hours))


def activity_of(yesterday: bytes, today: bytes, hour: int) -> LaneActivity:
    """Decode the records of two days, where `hour` is the present hour of the second."""
    hours = [*_hours(yesterday)[hour + 1 :], *_hours(today)[: hour + 1]]
    return LaneActivity(tuple(hours), max(_last_success(yesterday), _last_success(today)))


def success_rate_of(yesterday: bytes, today: bytes, hour: int) -> float | None:
    """Return the success rate of LaneActivity, decoding nothing else; None without an attempt."""
    attempts = failed = 0
    for day, first, end in ((yesterday, hour + 1, HOURS), (today, 0, hour + 1)):
        # A record ends with its last hour that has an attempt.
        start, stop = _HEAD.size + first * _HOUR.size, _HEAD.size + end * _HOUR.size
        part = day[start:stop]
        for counts in _HOUR.iter_unpack(part + bytes(-len(part) % _HOUR.size)):
            attempts, failed = attempts + counts[0], failed + counts[1]
    return 1 - failed / attempts if attempts else None


def _last_success(day: bytes) -> int:
    return int(_HEAD.unpack_from(day)[0]) if len(day) >= _HEAD.size else 0


def _hours(day: bytes) -> list[HourActivity]:
    whole = day.ljust(_HEAD.size + HOURS * _HOUR.size, b"\0")
    rows = (_HOUR.unpack_from(whole, _HEAD.size + index * _HOUR.size) for index in range(HOURS))
    return [HourActivity(attempts, failed, tuple(times)) for attempts, failed, *times in rows]
