"""This process as a reader of the ledger: which minor version it understands, and how much time it has seen pass.

Workers and API processes attend all the time. From that the ledger knows the oldest living process, whose minor version
is the one in force. It also knows that time passes, so a leap of Redis's clock is noticed (see domain/ledger_time.py).
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from secrets import token_hex

import msgspec
import structlog

from worker.domain.format_version import written_minor
from worker.domain.humanize import duration
from worker.domain.ledger_time import LedgerClock, Release, Watch, confirmation_of, expected_times, release_of
from worker.ledger.connection.redis_client import RedisClient

_log = structlog.get_logger("edw.ledger")

#: How long an announcement holds (ms). A process that is silent for longer may read what it does not understand, and
#: leaves that to others.
MEMBER_LIFETIME = 15_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Counts while the machine sleeps, where the system has such a clock.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Member:
    """A process that reads the ledger, and the minor version that it understands."""

    minor: int
    #: `worker` or `api`.
    kind: str
    owner: str
    #: The version of its build; empty if it is not known.
    build: str = ""
    #: The longest delay of its event loop's timers in the last seconds (seconds); None if it is not known.
    lag: float | None = None


class _Attended(msgspec.Struct):
    now: int
    store: int
    offset: int
    held: int
    held_at: int
    measured: int
    watch: str
    minor: int

    @property
    def clock(self) -> LedgerClock:
        return LedgerClock(self.now, self.store, self.offset, self.held, self.held_at, bool(self.measured))


_attended = msgspec.msgpack.Decoder(_Attended, strict=False)


class Membership:
    """The membership of one process (`owner`)."""

    def __init__(self, redis: RedisClient, owner: str) -> None:
        self._redis = redis
        self._owner = owner
        #: The minor version that every living process understands.
        self.in_force = 0
        self._watch: Watch | None = None
        self._warned_at = 0

    @property
    def minor(self) -> int:
        """The minor version that this process writes: what every living process understands."""
        return written_minor(self.in_force)

    async def read(self) -> LedgerClock:
        """Return the ledger's clock, and note the minor version in force. Announces nothing."""
        return (await self._attend("", "")).clock

    async def attend(self, kind: str, build: str = "", lag: float = 0.0) -> LedgerClock:
        """Announce this process, and end the hold of a jump that it can explain; return the ledger's clock.

        `build` is the version of its build, `lag` the delay of its event loop (seconds); people see them.
        """
        boottime = _boottime()
        found = await self._attend(kind, self._owner, build=build, lag=lag)
        clock = found.clock
        if not clock.held:
            self._watch = Watch(_boot(), boottime, clock.now)
            return clock
        self._warn(clock)
        watches = (self._watch, Watch.of_written(found.watch))
        release = release_of(clock, expected_times(clock, watches, _boot(), boottime))
        if release and await self._release(clock, release):
            _log.warning("ledger time", advanced=duration(release.advance), held_back=duration(release.left))
        return clock

    async def leave(self, kind: str) -> None:
        """Withdraw the announcement of this process, which ends."""
        await self._attend(kind, self._owner, leaving=True)

    async def members(self) -> list[Member]:
        """Return the processes whose announcement holds."""
        now = await self._redis.now()
        found = await self._redis.call("zrange", "members", f"({now}", "+inf", byscore=True)
        members = sorted(_members(each.decode() for each in found), key=lambda member: (member.minor, member.owner))
        rows = await self._redis.hashes([f"process:{each.owner}" for each in members])
        return [_described(each, row) for each, row in zip(members, rows, strict=True)]

    async def confirm(self) -> int | None:
        """Make Redis's TIME the ledger's time; return by how much ledger time went forward (ms).

        Returns None if ledger time is Redis's TIME already, or ahead of it: ledger time never goes back.
        """
        while release := confirmation_of(clock := await self.read()):
            if await self._release(clock, release):
                return release.advance
        return None

    async def _attend(
        self, kind: str, owner: str, *, leaving: bool = False, build: str = "", lag: float = 0.0
    ) -> _Attended:
        reply = await self._redis.run(
            "attend",
            owner=owner,
            kind=kind,
            lifetime=MEMBER_LIFETIME,
            leaving=int(leaving),
            build=build,
            lag=round(lag * 1000),
            watch=f"{_boot()} {_boottime()}",
        )
        found = _attended.decode(reply)
        self.in_force = found.minor
        return found

    async def _release(self, clock: LedgerClock, release: Release) -> bool:
        done = await self._redis.run(
            "release_time",
            held=clock.held,
            held_at=clock.held_at,
            advance=release.advance,
            left=release.left,
            measured=int(release.measured),
        )
        return bool(done)

    def _warn(self, clock: LedgerClock) -> None:
        if clock.held_at != self._warned_at:
            self._warned_at = clock.held_at
            _log.warning(
                "redis' clock leapt forward: the leap is held back",
                by=duration(clock.held),
                advice="compare the clocks; `edw clock confirm` if Redis's is right",
            )


def _members(names: Iterable[str]) -> Iterable[Member]:
    for name in names:
        minor, kind, owner = name.split(" ", 2)
        yield Member(int(minor), kind, owner)


def _described(member: Member, row: Mapping[str, str]) -> Member:
    if not row.get("build"):
        return member
    return replace(member, build=row["build"], lag=int(row.get("lag", 0)) / 1000)


@cache
def _boot() -> str:
    """Return the id of this machine's boot; where the system has none, one of this process."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return token_hex(8)


def _boottime() -> int:
    return int(time.clock_gettime(_BOOT_CLOCK) * 1000)
