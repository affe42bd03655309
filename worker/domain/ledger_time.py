"""Decisions about the ledger's time: what to do with a forward jump of Redis's clock that was held back.

Redis's TIME may leap forward because its clock is wrong, because Redis moved to a machine with another clock, or
because no process called for that time. `lua/parts/clock.lua` holds every leap of more than JUMP_MS back: ledger time
goes on from where it was, and sweeps end, expire and take over nothing. This module decides when the hold ends:

- A process that was there before the leap has measured how much time passed. Ledger time catches up by as much.
- Ten minutes have passed. A leap that nobody measured (the whole fleet was down) is then taken as true. Of a leap that
  was measured as wrong, nothing is made up: ledger time goes on at its pace, with an offset to Redis's TIME.
- An operator confirms Redis's TIME (`edw clock confirm`).

Times are milliseconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

#: The longest leap that needs no explanation; clock.lua has the same value.
JUMP_MS = 60_000
#: How long an unexplained leap is held back.
HOLD_MS = 600_000


@dataclass(frozen=True, slots=True)
class LedgerClock:
    """The ledger's time, and a forward jump of Redis's TIME that is held back (`held` is 0 without one)."""

    now: int
    #: Redis's TIME, and what ledger time has in addition.
    store: int
    offset: int
    held: int = 0
    #: The ledger time when the jump was held back.
    held_at: int = 0
    #: Whether a sweep has measured that the time of the jump did not pass.
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """A moment by two clocks: CLOCK_BOOTTIME of a machine since the boot `boot`, and ledger time."""

    boot: str
    boottime: int
    ledger: int

    @property
    def written(self) -> str:
        """Return it as the ledger keeps it."""
        return f"{self.boot} {self.boottime} {self.ledger}"

    @staticmethod
    def of_written(text: str) -> "Watch | None":
        """Return the watch in a text, or None if there is none."""
        match text.split():
            case [boot, boottime, ledger] if boottime.isdecimal() and ledger.isdecimal():
                return Watch(boot, int(boottime), int(ledger))
        return None


@dataclass(frozen=True, slots=True)
class Release:
    """The end of a hold, or a part of it."""

    #: By how much ledger time goes forward.
    advance: int
    #: What stays held back; 0 ends the hold.
    left: int = 0
    #: Whether it was measured that the time of the rest did not pass.
    measured: bool = False


def expected_times(clock: LedgerClock, watches: Iterable[Watch | None], boot: str, boottime: int) -> list[int]:
    """Return what ledger time should be, by each watch of this boot that began before the jump was held back."""
    usable = [watch for watch in watches if watch and watch.boot == boot and watch.ledger <= clock.held_at]
    return [watch.ledger + boottime - watch.boottime for watch in usable]


def release_of(clock: LedgerClock, expected: Iterable[int]) -> Release | None:
    """Decide about a jump that is held back; None leaves it as it is.

    Args:
        clock: The ledger's clock.
        expected: What ledger time should be, as expected_times() returns it. The latest counts.
    """
    if clock.held <= 0:
        return None
    should_be = max(expected, default=None)
    if should_be is not None:
        advance = min(max(0, should_be - clock.now), clock.held)
        left = clock.held - advance
        if left <= JUMP_MS:
            return Release(clock.held)
        if advance or not clock.measured:
            return Release(advance, left, measured=True)
    if clock.now - clock.held_at < HOLD_MS:
        return None
    return Release(0) if clock.measured else Release(clock.held)


def confirmation_of(clock: LedgerClock) -> Release | None:
    """Return what makes Redis's TIME the ledger's time; None if that needs nothing, or would set time back."""
    if clock.held > 0:
        return Release(clock.held)
    return Release(-clock.offset) if clock.offset < 0 else None
