"""The concurrency limiter: how many of a process's slots each lane may use, so that hanging receivers starve no other.

The trust in a lane:

- A lane that has delivered is proven, and may use free slots.
- A lane is suspect if its last attempt failed or was slow, or if an attempt under way is slow. If the fleet knows that
  a lane fails, it is suspect from the start, so that healthy lanes of a new process do not wait behind it.
- A lane is unproven if this process knows nothing about it. It becomes suspect sooner than a proven one: healthy
  receivers mostly answer at once, and other lanes wait to be tried.

The shares of the slots:

- All suspect lanes together get a quarter, in equal shares of at least two slots. So a receiver that is slow but
  healthy still gets many slots if few lanes are suspect.
- All unproven lanes together get another quarter, one slot each. Part of it is reserved for lanes without overdue jobs:
  after a restart, healthy lanes mostly have none, and hanging lanes have some.
- So half of the slots remain for healthy lanes. The circuit deals with a receiver that goes on failing.

A healthy receiver may begin to hang. So a proven lane gets at most twice as many slots as it has lately had answered at
the same time. As with TCP's slow start, it reaches any number within a few answers. Once half of the slots are in use,
only a lane that has just delivered counts as proven. So neither a busy receiver that hangs, nor many at once, take all
slots before it is noticed.

No I/O, and no clock: `now` is an argument, in seconds.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

#: An attempt that takes longer is slow (seconds).
SLOW_SECONDS = 2.0
#: An unproven lane becomes suspect when its attempt takes longer (seconds); then another new lane gets its slot.
PROBE_SECONDS = 0.5
#: All lanes of a kind together get one part in this many of the process's slots.
SHARE = 4
#: One part in this many of the unproven lanes' share is reserved for lanes without overdue jobs.
FRESH_SHARE = 2
#: Slots of a proven lane at first.
PROVEN_SLOTS = 4
#: A proven lane may use this many times as many slots as it has lately had answered at the same time.
GROWTH = 2
#: Older answers do not show how a lane does now (seconds).
LATELY_SECONDS = 0.5
#: The most lanes that are remembered; the least recently used ones are forgotten, and are unproven then.
REMEMBERED = 20_000
#: The fewest slots of a suspect lane.
SUSPECT_SLOTS = 2
#: The most slots of an unproven lane.
UNPROVEN_SLOTS = 1


class Trust(Enum):
    """How far a process trusts a lane."""

    PROVEN = "proven"
    SUSPECT = "suspect"
    UNPROVEN = "unproven"


@dataclass(slots=True)
class _Lane:
    #: Whether the last attempt did well; None if there was none.
    did_well: bool | None = None
    #: Attempts under way → when they began, and the slots that each takes; the oldest first.
    under_way: dict[str, tuple[float, int]] = field(default_factory=dict)
    #: The slots of all these attempts.
    used: int = 0
    #: When an attempt last did well, and the most slots that the lane may use since then.
    well_at: float = 0.0
    window: int = PROVEN_SLOTS

    def trust(self, now: float, crowded: bool) -> Trust:
        oldest = next(iter(self.under_way.values()), (now, 0))[0]
        patience = SLOW_SECONDS if self.did_well else PROBE_SECONDS
        if self.did_well is False or now - oldest > patience:
            return Trust.SUSPECT
        if not self.did_well or (crowded and now - self.well_at > LATELY_SECONDS):
            return Trust.UNPROVEN
        return Trust.PROVEN

    def window_at(self, now: float, overdue: bool = False) -> int:
        if now - self.well_at <= LATELY_SECONDS:
            return self.window
        # A lane that has jobs waiting, and has not delivered lately, may hang.
        return UNPROVEN_SLOTS if overdue else PROVEN_SLOTS

    def does_well(self, at_once: int, now: float) -> None:
        self.window = max(self.window_at(now), GROWTH * at_once)
        self.well_at = now


class ConcurrencyLimiter:
    """Divides the slots of one process, `total` in all, among lanes."""

    def __init__(self, total: int) -> None:
        self._share = max(1, total // SHARE)
        self._half = total / 2
        self._used = 0
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        #: Lanes with an attempt under way: few, at most one for each slot, while many are remembered.
        self._busy: dict[str, _Lane] = {}

    def unknown(self, lanes: Iterable[str]) -> Sequence[str]:
        """Return those of the lanes of which learn() knows nothing yet."""
        return [lane for lane in lanes if lane not in self._lanes]

    def learn(self, lanes: Iterable[str], failing: Container[str]) -> None:
        """Learn from the fleet about new lanes: the last attempt of those in `failing` failed."""
        for lane in lanes:
            known = self._known(lane)
            if known.did_well is None and lane in failing:
                known.did_well = False

    def started(self, lane: str, attempt: str, now: float, slots: int = 1) -> None:
        """Record that an attempt begins, which takes some slots."""
        known = self._known(lane)
        known.under_way[attempt] = (now, slots)
        known.used += slots
        self._busy[lane] = known
        self._used += slots

    def ended(self, lane: str, attempt: str, did_well: bool | None, now: float) -> bool:
        """Record the end of an attempt; `did_well` is None if it shows nothing about its receiver.

        Returns whether this frees a slot in a share of several lanes.
        """
        known = self._busy.get(lane)
        if known is None or attempt not in known.under_way:
            return False
        # An attempt of a proven lane counts in no share.
        counted = known.trust(now, self._crowded) is not Trust.PROVEN
        at_once = known.used
        began, slots = known.under_way.pop(attempt)
        took = now - began
        known.used -= slots
        self._used -= slots
        if not known.under_way:
            del self._busy[lane]
        if did_well is not None:
            known.did_well = did_well and took <= SLOW_SECONDS
        if did_well and known.did_well:
            known.does_well(at_once, now)
        return counted

    def limits(self, lanes: Iterable[str], now: float, *, overdue: bool = False) -> Mapping[str, int]:
        """Return how many more attempts each lane may have here; 0 is none for now.

        `overdue` means that the lanes have jobs that had to wait.
        """
        left = {Trust.SUSPECT: self._share, Trust.UNPROVEN: self._share}
        suspects, crowded = 0, self._crowded
        for each in self._busy.values():
            if (trust := each.trust(now, crowded)) is not Trust.PROVEN:
                left[trust] -= each.used
                suspects += trust is Trust.SUSPECT
        # New lanes that turned out to hang may use more than the suspects' share: the unproven lanes' share shrinks.
        left[Trust.UNPROVEN] += min(0, left[Trust.SUSPECT])
        if overdue:
            left[Trust.UNPROVEN] -= self._share // FRESH_SHARE
        most = {Trust.SUSPECT: max(SUSPECT_SLOTS, self._share // max(1, suspects)), Trust.UNPROVEN: UNPROVEN_SLOTS}
        found: dict[str, int] = {}
        for lane in lanes:
            known = self._lanes.get(lane) or _Lane()
            trust = known.trust(now, crowded)
            if trust is Trust.PROVEN:
                found[lane] = max(0, known.window_at(now, overdue) - known.used)
            else:
                found[lane] = max(0, min(most[trust] - known.used, left[trust]))
                left[trust] -= found[lane]
        return found

    @property
    def _crowded(self) -> bool:
        return self._used >= self._half

    def _known(self, lane: str) -> _Lane:
        known = self._lanes.get(lane)
        if known is None:
            known = self._lanes[lane] = _Lane()
            self._forget()
        self._lanes.move_to_end(lane)
        return known

    def _forget(self) -> None:
        while len(self._lanes) > REMEMBERED:
            oldest, lane = next(iter(self._lanes.items()))
            if lane.under_way:
                break
            del self._lanes[oldest]
