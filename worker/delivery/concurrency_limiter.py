"""Which lanes are trusted with how many of a process's slots, so that receivers that hang starve nobody.

A lane that has delivered is proven, and takes what there is. One whose last attempt failed or was slow, or has one
under way that is slow, is suspect; one of which nothing is known here is unproven. Where the fleet knows that it fails,
it is suspect from the start, so that those that do well do not wait behind it when a process is new. An unproven one is
suspect sooner than a proven one: what does well mostly answers at once, and others wait to show that they do.

All suspect lanes together get a quarter of the process, in equal shares of two slots at least, so that a receiver which
is slow and well still gets much where few are; all unproven ones get another quarter, one slot each, of which a part is
kept for those that have nothing overdue: after a restart, what does well mostly has not, and what hangs has. So half of
the process is for what does well. A receiver that goes on failing is the circuit's matter.

What did well may begin to hang. So a proven lane takes twice what it has lately had answered at a time (TCP's slow
start: it gets to any number within a few answers), and once half of the process is under way, only what has delivered
just now counts as proven: neither a busy receiver that hangs nor many at once take all slots before that shows.

No I/O, and no clock: `now` is an argument, in seconds.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

#: An attempt that takes longer is slow (seconds).
SLOW_SECONDS = 2.0
#: The first attempt of a lane counts among the suspects' after so long, and makes room for another new one (seconds).
PROBE_SECONDS = 0.5
#: Parts of the process's slots that all lanes of a kind have together.
SHARE = 4
#: The part of the unproven ones' share that is kept for lanes with nothing overdue.
FRESH_SHARE = 2
#: A proven lane may have this many at once, and more where it has had more than this part of them answered at a time.
PROVEN_SLOTS = 4
GROWTH = 2
#: What it had answered longer ago says nothing of how it does now (seconds).
LATELY_SECONDS = 0.5
#: Lanes that are remembered; the least recently used go first, and are unproven then.
REMEMBERED = 20_000
#: Slots that a suspect lane has at least, and an unproven one at most.
SUSPECT_SLOTS = 2
UNPROVEN_SLOTS = 1


class Trust(Enum):
    """What is known of a lane."""

    PROVEN = "proven"
    SUSPECT = "suspect"
    UNPROVEN = "unproven"


@dataclass(slots=True)
class _Lane:
    #: Whether the last attempt did well; None where there was none.
    did_well: bool | None = None
    #: What is under way: attempt → since when, the oldest first.
    under_way: dict[str, float] = field(default_factory=dict)
    #: When it last did well, and how many at once it may have since.
    well_at: float = 0.0
    window: int = PROVEN_SLOTS

    def trust(self, now: float, crowded: bool) -> Trust:
        oldest = next(iter(self.under_way.values()), now)
        patience = SLOW_SECONDS if self.did_well else PROBE_SECONDS
        if self.did_well is False or now - oldest > patience:
            return Trust.SUSPECT
        if not self.did_well or (crowded and now - self.well_at > LATELY_SECONDS):
            return Trust.UNPROVEN
        return Trust.PROVEN

    def window_at(self, now: float, overdue: bool = False) -> int:
        if now - self.well_at <= LATELY_SECONDS:
            return self.window
        # What has work waiting, and has not delivered lately, may be what hangs.
        return UNPROVEN_SLOTS if overdue else PROVEN_SLOTS

    def does_well(self, at_once: int, now: float) -> None:
        self.window = max(self.window_at(now), GROWTH * at_once)
        self.well_at = now


class ConcurrencyLimiter:
    """The slots of one process, `total` in all."""

    def __init__(self, total: int) -> None:
        self._share = max(1, total // SHARE)
        self._half = total / 2
        self._under_way = 0
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        #: Those with an attempt under way: never more than slots, where the remembered may be many.
        self._busy: dict[str, _Lane] = {}

    def unheard_of(self, lanes: Iterable[str]) -> Sequence[str]:
        """Those of the lanes that hear() is still to be told of."""
        return [lane for lane in lanes if lane not in self._lanes]

    def hear(self, lanes: Iterable[str], failing: Container[str]) -> None:
        """What the fleet knows of lanes: whether their last attempt failed."""
        for lane in lanes:
            known = self._known(lane)
            if known.did_well is None and lane in failing:
                known.did_well = False

    def started(self, lane: str, attempt: str, now: float) -> None:
        """An attempt begins."""
        known = self._known(lane)
        known.under_way[attempt] = now
        self._busy[lane] = known
        self._under_way += 1

    def ended(self, lane: str, attempt: str, did_well: bool | None, now: float) -> bool:
        """An attempt is over; None where it says nothing of its receiver.

        Answers whether a slot of a share is free now.
        """
        known = self._busy.get(lane)
        if known is None or attempt not in known.under_way:
            return False
        # One of a proven lane counts in nobody's share.
        counted = known.trust(now, self._crowded) is not Trust.PROVEN
        at_once = len(known.under_way)
        took = now - known.under_way.pop(attempt)
        self._under_way -= 1
        if not known.under_way:
            del self._busy[lane]
        if did_well is not None:
            known.did_well = did_well and took <= SLOW_SECONDS
        if did_well and known.did_well:
            known.does_well(at_once, now)
        return counted

    def limits(self, lanes: Iterable[str], now: float, *, overdue: bool = False) -> Mapping[str, int]:
        """How many more attempts each lane may have here: 0 is none for now.

        `overdue`: they have jobs that had to wait.
        """
        left = {Trust.SUSPECT: self._share, Trust.UNPROVEN: self._share}
        suspects, crowded = 0, self._crowded
        for each in self._busy.values():
            if (trust := each.trust(now, crowded)) is not Trust.PROVEN:
                left[trust] -= len(each.under_way)
                suspects += trust is Trust.SUSPECT
        # New lanes that turned out to hang have taken more than the suspects' share: it is the new ones' that goes.
        left[Trust.UNPROVEN] += min(0, left[Trust.SUSPECT])
        if overdue:
            left[Trust.UNPROVEN] -= self._share // FRESH_SHARE
        most = {Trust.SUSPECT: max(SUSPECT_SLOTS, self._share // max(1, suspects)), Trust.UNPROVEN: UNPROVEN_SLOTS}
        found: dict[str, int] = {}
        for lane in lanes:
            known = self._lanes.get(lane) or _Lane()
            trust, under_way = known.trust(now, crowded), len(known.under_way)
            if trust is Trust.PROVEN:
                found[lane] = max(0, known.window_at(now, overdue) - under_way)
            else:
                found[lane] = max(0, min(most[trust] - under_way, left[trust]))
                left[trust] -= found[lane]
        return found

    @property
    def _crowded(self) -> bool:
        return self._under_way >= self._half

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
