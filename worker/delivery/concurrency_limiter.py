"""The concurrency limiter: how many of a process's slots each lane may use, so that hanging receivers starve no other.

The trust in a lane:

- A lane that has delivered is proven, and may use free slots.
- A lane is suspect if its last attempt failed or was slow, or if an attempt under way is slow. If the fleet knows that
  a lane fails, it is suspect from the start, so that healthy lanes of a new process do not wait behind it.
- A lane is unproven if this process knows nothing about it. It becomes suspect sooner than a proven one: healthy
  receivers mostly answer at once, and other lanes wait to be tried.

The shares of the slots:

- All suspect lanes together get a quarter, in equal shares of at least one slot. So a receiver that is slow but healthy
  still gets many slots if few lanes are suspect.
- All unproven lanes together get another quarter, one slot each. While their attempts do well, this share grows by one
  with each, up to seven eighths: many healthy lanes are tried as fast as few. It is halved, down to a quarter, when one
  of them becomes suspect, and is a quarter again when none has done well lately.
- A quarter of the unproven lanes' first quarter is reserved for lanes without overdue jobs: after a restart, healthy
  lanes mostly have none, and hanging lanes have some.

What it guarantees: half of the slots remain for lanes that deliver, however many others hang. If many unproven lanes
hang at once just after many did well, it is an eighth until those attempts end. The circuit deals with a receiver that
goes on failing.

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
from math import inf

#: An attempt that takes longer is slow (seconds).
SLOW_SECONDS = 2.0
#: An unproven lane becomes suspect when its attempt takes longer (seconds); then another new lane gets its slot.
PROBE_SECONDS = 0.5
#: A quarter is one part in this many: of the process's slots, or of a share of them.
SHARE = 4
#: Slots of a proven lane at first.
PROVEN_SLOTS = 4
#: A proven lane may use this many times as many slots as it has lately had answered at the same time.
GROWTH = 2
#: Older answers do not show how a lane does now (seconds).
LATELY_SECONDS = 0.5
#: The most lanes that are remembered; the least recently used ones are forgotten, and are unproven then.
REMEMBERED = 20_000


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
    #: When the oldest of them began; never, without any.
    since: float = inf
    #: The slots of all these attempts.
    used: int = 0
    #: When an attempt last did well, and the most slots that the lane may use since then.
    well_at: float = 0.0
    window: int = PROVEN_SLOTS
    #: How much longer than usual its attempts may take: a lane that hangs keeps its slots for so much longer.
    patience: float = 1.0
    #: The trust in the lane when it was last looked at with an attempt under way.
    counted: Trust = Trust.UNPROVEN

    def trust(self, now: float, crowded: bool) -> Trust:
        patience = SLOW_SECONDS if self.did_well else PROBE_SECONDS
        if self.did_well is False or now - self.since > patience:
            return Trust.SUSPECT
        if not self.did_well or (crowded and now - self.well_at > LATELY_SECONDS):
            return Trust.UNPROVEN
        return Trust.PROVEN

    def window_at(self, now: float, overdue: bool = False) -> int:
        if now - self.well_at <= LATELY_SECONDS:
            return self.window
        # A lane that has jobs waiting, and has not delivered lately, may hang.
        return 1 if overdue else PROVEN_SLOTS

    def does_well(self, at_once: int, now: float) -> None:
        self.window = max(self.window_at(now), GROWTH * at_once)
        self.well_at = now


class ConcurrencyLimiter:
    """Divides the slots of one process, `total` in all, among lanes.

    `timeout` is the usual time limit of an attempt (seconds). A suspect lane whose attempts may take longer gets fewer
    slots by as much, so that the suspects' share is free again as soon.
    """

    def __init__(self, total: int, timeout: float = inf) -> None:
        self._timeout = timeout
        self._share = max(1, total // SHARE)
        self._half = total / 2
        #: The unproven lanes' share since one of their attempts last did well, and when that was.
        self._trial = self._share
        self._most_trial = max(self._share, total - self._share // 2)
        self._tried_at = 0.0
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
        if not known.under_way:
            known.counted, known.since = known.trust(now, self._crowded), now
        known.under_way[attempt] = (now, slots)
        known.used += slots
        self._busy[lane] = known
        self._used += slots

    def ended(self, lane: str, attempt: str, did_well: bool | None, now: float, timeout: float | None = None) -> bool:
        """Record the end of an attempt; `did_well` is None if it shows nothing about its receiver.

        `timeout` is the lane's own time limit in seconds, if it has one.

        Returns whether this frees a slot in a share of several lanes.
        """
        known = self._busy.get(lane)
        if known is None or attempt not in known.under_way:
            return False
        trust = self._look_at(known, now, self._crowded)
        known.patience = 1.0 if timeout is None else max(1.0, timeout / self._timeout)
        at_once = known.used
        began, slots = known.under_way.pop(attempt)
        took = now - began
        known.used -= slots
        self._used -= slots
        known.since = next(iter(known.under_way.values()), (inf, 0))[0]
        if not known.under_way:
            del self._busy[lane]
        if did_well is not None:
            known.did_well = did_well and took <= SLOW_SECONDS
        if did_well and known.did_well:
            known.does_well(at_once, now)
        if trust is Trust.UNPROVEN and did_well is not None:
            self._tried(now, bool(known.did_well))
        # An attempt of a proven lane counts in no share.
        return trust is not Trust.PROVEN

    def limits(self, lanes: Iterable[str], now: float, *, overdue: bool = False) -> Mapping[str, int]:
        """Return how many more attempts each lane may have here; 0 is none for now.

        `overdue` means that the lanes have jobs that had to wait.
        """
        left, suspects, crowded = self._left(now, overdue)
        most = {Trust.SUSPECT: max(1, self._share // max(1, suspects)), Trust.UNPROVEN: 1}
        found: dict[str, int] = {}
        for lane in lanes:
            known = self._lanes.get(lane) or _Lane()
            trust = known.trust(now, crowded)
            if trust is Trust.PROVEN:
                found[lane] = max(0, known.window_at(now, overdue) - known.used)
            else:
                lane_most = max(1, int(most[trust] / known.patience))
                found[lane] = max(0, min(lane_most - known.used, left[trust]))
                left[trust] -= found[lane]
        return found

    def free(self, now: float) -> Mapping[Trust, int]:
        """Return how many slots are free in each share, for lanes with overdue jobs."""
        left, _, _ = self._left(now, overdue=True)
        return {trust: max(0, slots) for trust, slots in left.items()}

    def waits_for(self, lane: str, now: float) -> Trust | None:
        """Return which share a lane waits for that may have no more attempts; None if it waits for its own to end."""
        known = self._lanes.get(lane) or _Lane()
        return None if known.used else known.trust(now, self._crowded)

    def _left(self, now: float, overdue: bool) -> tuple[dict[Trust, int], int, bool]:
        """Return how many slots are left in each share, the number of suspect lanes, and whether half are in use."""
        suspects, suspect, unproven, crowded = 0, 0, 0, self._crowded
        for each in self._busy.values():
            trust = self._look_at(each, now, crowded)
            if trust is Trust.SUSPECT:
                suspects, suspect = suspects + 1, suspect + each.used
            elif trust is Trust.UNPROVEN:
                unproven += each.used
        left = {Trust.SUSPECT: self._share - suspect}
        # New lanes that turned out to hang may use more than the suspects' share: the unproven lanes' share shrinks.
        left[Trust.UNPROVEN] = self._trial_at(now) - unproven + min(0, left[Trust.SUSPECT])
        if overdue:
            left[Trust.UNPROVEN] -= self._share // SHARE
        return left, suspects, crowded

    def _look_at(self, lane: _Lane, now: float, crowded: bool) -> Trust:
        """Return the trust in a lane with an attempt under way, and note whether it has just become suspect."""
        trust = lane.trust(now, crowded)
        if trust is not lane.counted:
            if trust is Trust.SUSPECT and lane.counted is Trust.UNPROVEN:
                self._tried(now, False)
            lane.counted = trust
        return trust

    def _tried(self, now: float, did_well: bool) -> None:
        """Record what came of the attempt of an unproven lane."""
        if did_well:
            self._trial, self._tried_at = min(self._most_trial, self._trial_at(now) + 1), now
        else:
            self._trial = max(self._share, self._trial // 2)

    def _trial_at(self, now: float) -> int:
        return self._trial if now - self._tried_at <= LATELY_SECONDS else self._share

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
