"""The lanes with attempts under way, and the slots that they use, by the trust in them. No I/O, and no clock."""

from math import inf

from worker.delivery.lane_trust import Trust, TrustedLane


class BusyLanes:
    """The lanes with attempts under way: few, at most one for each slot.

    Each start and end of an attempt is counted as it happens. All lanes are looked at again only when the trust in one
    of them may have changed by itself, so that the cost of a claim does not grow with their number.

    Args:
        half: Half of the process's slots.
    """

    def __init__(self, half: float) -> None:
        self._half = half
        self._lanes: dict[str, TrustedLane] = {}
        #: All slots in use.
        self.used = 0
        #: Whether half of the process's slots are in use.
        self.crowded = half <= 0
        #: The slots in use by the trust in their lanes, and the number of suspect lanes.
        self.slots = dict.fromkeys(Trust, 0)
        self.suspects = 0
        #: When all lanes were last looked at, and until when the counts hold if no attempt begins or ends.
        self._looked_at = 0.0
        self._holds_until = inf

    def get(self, lane: str) -> TrustedLane | None:
        """Return the lane if it has an attempt under way."""
        return self._lanes.get(lane)

    def begin(self, name: str, lane: TrustedLane, attempt: str, now: float, slots: int) -> None:
        """Count the start of an attempt, which takes some slots."""
        if not lane.under_way:
            lane.counted, lane.since = lane.trust(now, self.crowded), now
            self._lanes[name] = lane
            self.suspects += lane.counted is Trust.SUSPECT
            self._holds_until = min(self._holds_until, lane.holds_until(lane.counted, self.crowded))
        lane.under_way[attempt] = (now, slots)
        self._use(lane, slots)

    def end(self, name: str, lane: TrustedLane, attempt: str) -> float:
        """Count the end of an attempt; return when it began."""
        began, slots = lane.under_way.pop(attempt)
        self._use(lane, -slots)
        lane.since = next(iter(lane.under_way.values()), (inf, 0))[0]
        if not lane.under_way:
            del self._lanes[name]
            self.suspects -= lane.counted is Trust.SUSPECT
        return began

    def look(self, now: float) -> int:
        """Bring the counts up to date; return how many unproven lanes turned out to be suspect."""
        if self._looked_at <= now < self._holds_until:
            return 0
        self._looked_at, self._holds_until = now, inf
        turned = 0
        for lane in self._lanes.values():
            turned += self.look_at(lane, now)
            self._holds_until = min(self._holds_until, lane.holds_until(lane.counted, self.crowded))
        return turned

    def look_at(self, lane: TrustedLane, now: float) -> bool:
        """Bring the counts of a lane up to date; return whether it was unproven, and turned out to be suspect."""
        if not lane.under_way:
            return False
        before, trust = lane.counted, lane.trust(now, self.crowded)
        if trust is before:
            return False
        lane.counted = trust
        self.slots[before] -= lane.used
        self.slots[trust] += lane.used
        self.suspects += (trust is Trust.SUSPECT) - (before is Trust.SUSPECT)
        self._holds_until = min(self._holds_until, lane.holds_until(trust, self.crowded))
        return before is Trust.UNPROVEN and trust is Trust.SUSPECT

    def look_again(self) -> None:
        """Have the next look() look at all lanes."""
        self._holds_until = -inf

    def _use(self, lane: TrustedLane, slots: int) -> None:
        lane.used += slots
        self.slots[lane.counted] += slots
        self.used += slots
        crowded = self.used >= self._half
        if crowded is not self.crowded:
            self.crowded = crowded
            self.look_again()
