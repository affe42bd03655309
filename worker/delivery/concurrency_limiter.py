"""The concurrency limiter: how many of a process's slots each lane may use, so that hanging receivers starve no other.

The trust in a lane:

- A lane that has delivered is proven, and may use free slots.
- A lane is suspect if its last attempt failed or was slow, or if an attempt under way is slow.
- A lane is unproven if nothing is known about it. It becomes suspect sooner than a proven one: healthy receivers mostly
  answer at once, and other lanes wait to be tried.

A new process learns from the fleet which lanes fail, and which ones did well lately. These do not wait for those that
hang.

The shares of the slots:

- All suspect lanes together get a quarter, in equal shares of at least one slot. So a receiver that is slow but healthy
  still gets many slots if few lanes are suspect.
- All unproven lanes together get another quarter, one slot each. While their attempts do well, this share grows by one
  with each, up to seven eighths: many healthy lanes are tried as fast as few. It is halved, down to a quarter, when one
  of them becomes suspect, and is a quarter again when none has done well lately.
- A quarter of the unproven lanes' first quarter is reserved for lanes without overdue jobs: after a restart, healthy
  lanes mostly have none, and hanging lanes have some.

What it guarantees: half of the slots remain for lanes that did well when they were last tried, however many others
hang. If many unproven lanes hang at once just after many did well, it is an eighth until those attempts end. The
circuit deals with a receiver that goes on failing.

A healthy receiver may begin to hang. So a proven lane gets at most twice as many slots as it has lately had answered at
the same time. As with TCP's slow start, it reaches any number within a few answers. Once half of the slots are in use,
only a lane that has just delivered counts as proven; another one that did well when it was last tried gets one slot,
until three quarters are in use. So neither a busy receiver that hangs, nor many at once, take all slots before it is
noticed, and a lane that delivers rarely does not wait for those that hang.

No I/O, and no clock: `now` is an argument, in seconds.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from worker.delivery.busy_lanes import BusyLanes
from worker.delivery.lane_trust import LATELY_SECONDS, SLOW_SECONDS, Trust, TrustedLane

#: A quarter is one part in this many: of the process's slots, or of a share of them.
SHARE = 4
#: The most lanes that are remembered; the least recently used ones are forgotten, and are unproven then.
REMEMBERED = 20_000


class ConcurrencyLimiter:
    """Divides the slots of one process, `total` in all, among lanes.

    `timeout` is the usual time limit of an attempt (seconds). A suspect lane whose attempts may take longer gets fewer
    slots by as much, so that the suspects' share is free again as soon.
    """

    def __init__(self, total: int, timeout: float = inf) -> None:
        self._timeout = timeout
        self._share = max(1, total // SHARE)
        #: The unproven lanes' share since one of their attempts last did well, and when that was.
        self._trial = self._share
        self._most_trial = max(self._share, total - self._share // 2)
        #: How many slots may be in use when a lane gets one because it did well when it was last tried.
        self._crowd = total - self._share
        self._tried_at = 0.0
        self._lanes: OrderedDict[str, TrustedLane] = OrderedDict()
        self._busy = BusyLanes(total / 2)

    def unknown(self, lanes: Iterable[str]) -> Sequence[str]:
        """Return those of the lanes of which learn() knows nothing yet."""
        return [lane for lane in lanes if lane not in self._lanes]

    def learn(self, lanes: Iterable[str], did_well: Mapping[str, bool | None]) -> None:
        """Learn from the fleet about new lanes: whether the attempts of each did well lately, if it is known."""
        for lane in lanes:
            known = self._known(lane)
            if known.did_well is None and (did := did_well.get(lane)) is not None:
                known.did_well = did
                self._busy.look_again()

    def started(self, lane: str, attempt: str, now: float, slots: int = 1) -> None:
        """Record that an attempt begins, which takes some slots."""
        self._busy.begin(lane, self._known(lane), attempt, now, slots)

    def ended(self, lane: str, attempt: str, did_well: bool | None, now: float, timeout: float | None = None) -> bool:
        """Record the end of an attempt; `did_well` is None if it shows nothing about its receiver.

        `timeout` is the lane's own time limit in seconds, if it has one.

        Returns whether this frees a slot in a share of several lanes.
        """
        known = self._busy.get(lane)
        if known is None or attempt not in known.under_way:
            return False
        self._look_at(known, now)
        trust, at_once = known.counted, known.used
        known.patience = 1.0 if timeout is None else max(1.0, timeout / self._timeout)
        took = now - self._busy.end(lane, known, attempt)
        if did_well is not None:
            known.did_well = did_well and took <= SLOW_SECONDS
        if did_well and known.did_well:
            known.does_well(at_once, now)
        if trust is Trust.UNPROVEN and did_well is not None:
            self._tried(now, bool(known.did_well))
        self._look_at(known, now)
        # An attempt of a proven lane counts in no share.
        return trust is not Trust.PROVEN

    def limits(self, lanes: Iterable[str], now: float, *, overdue: bool = False) -> Mapping[str, int]:
        """Return how many more attempts each lane may have here; 0 is none for now.

        `overdue` means that the lanes have jobs that had to wait.
        """
        left, crowded = self._left(now, overdue), self._busy.crowded
        left_of_crowd = self._crowd - self._busy.used
        most = {Trust.SUSPECT: max(1, self._share // max(1, self._busy.suspects)), Trust.UNPROVEN: 1}
        found: dict[str, int] = {}
        for lane in lanes:
            known = self._lanes.get(lane) or TrustedLane()
            trust = known.trust(now, crowded)
            if trust is Trust.PROVEN:
                found[lane] = max(0, known.window_at(now, overdue) - known.used)
            else:
                lane_most = max(1, int(most[trust] / known.patience))
                slots = max(left[trust], left_of_crowd) if _did_well_before(known, trust) else left[trust]
                found[lane] = max(0, min(lane_most - known.used, slots))
                left[trust] -= found[lane]
                left_of_crowd -= found[lane]
        return found

    def free(self, now: float) -> Mapping[Trust, int]:
        """Return how many slots are free in each share, for lanes with overdue jobs."""
        return {trust: max(0, slots) for trust, slots in self._left(now, overdue=True).items()}

    def waits_for(self, lane: str, now: float) -> Trust | None:
        """Return which share a lane waits for that may have no more attempts.

        None means that it waits for its own to end, or until fewer slots are in use.
        """
        known = self._lanes.get(lane) or TrustedLane()
        trust = known.trust(now, self._busy.crowded)
        return None if known.used or _did_well_before(known, trust) else trust

    def _left(self, now: float, overdue: bool) -> dict[Trust, int]:
        """Return how many slots are left in each share."""
        for _ in range(self._busy.look(now)):
            self._tried(now, False)
        used = self._busy.slots
        left = {Trust.SUSPECT: self._share - used[Trust.SUSPECT]}
        # New lanes that turned out to hang may use more than the suspects' share: the unproven lanes' share shrinks.
        left[Trust.UNPROVEN] = self._trial_at(now) - used[Trust.UNPROVEN] + min(0, left[Trust.SUSPECT])
        if overdue:
            left[Trust.UNPROVEN] -= self._share // SHARE
        return left

    def _look_at(self, lane: TrustedLane, now: float) -> None:
        """Bring the counts of a lane with an attempt under way up to date."""
        if self._busy.look_at(lane, now):
            self._tried(now, False)

    def _tried(self, now: float, did_well: bool) -> None:
        """Record what came of the attempt of an unproven lane."""
        if did_well:
            self._trial, self._tried_at = min(self._most_trial, self._trial_at(now) + 1), now
        else:
            self._trial = max(self._share, self._trial // 2)

    def _trial_at(self, now: float) -> int:
        return self._trial if now - self._tried_at <= LATELY_SECONDS else self._share

    def _known(self, lane: str) -> TrustedLane:
        known = self._lanes.get(lane)
        if known is None:
            known = self._lanes[lane] = TrustedLane()
            self._forget()
        self._lanes.move_to_end(lane)
        return known

    def _forget(self) -> None:
        while len(self._lanes) > REMEMBERED:
            oldest, lane = next(iter(self._lanes.items()))
            if lane.under_way:
                break
            del self._lanes[oldest]


def _did_well_before(lane: TrustedLane, trust: Trust) -> bool:
    """Return whether a lane is unproven only because of the crowd: it did well when it was last tried."""
    return trust is Trust.UNPROVEN and bool(lane.did_well)
