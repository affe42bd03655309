"""How far a process trusts a lane, by what its attempts did. No I/O, and no clock: `now` is an argument, in seconds."""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

#: An attempt that takes longer is slow (seconds).
SLOW_SECONDS = 2.0
#: An unproven lane becomes suspect when its attempt takes longer (seconds); then another new lane gets its slot.
PROBE_SECONDS = 0.5
#: Slots of a proven lane at first.
PROVEN_SLOTS = 4
#: A proven lane may use this many times as many slots as it has lately had answered at the same time.
GROWTH = 2
#: Older answers do not show how a lane does now (seconds).
LATELY_SECONDS = 0.5


class Trust(StrEnum):
    """How far a process trusts a lane."""

    PROVEN = "proven"
    SUSPECT = "suspect"
    UNPROVEN = "unproven"


@dataclass(slots=True)
class TrustedLane:
    """What a process knows of a lane. `crowded` means that half of the process's slots are in use."""

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
        """Return the trust in the lane."""
        patience = SLOW_SECONDS if self.did_well else PROBE_SECONDS
        if self.did_well is False or now - self.since > patience:
            return Trust.SUSPECT
        if not self.did_well or (crowded and now - self.well_at > LATELY_SECONDS):
            return Trust.UNPROVEN
        return Trust.PROVEN

    def holds_until(self, trust: Trust, crowded: bool) -> float:
        """Return when this trust in the lane ends by itself, if no attempt begins or ends."""
        if trust is Trust.SUSPECT:
            return inf
        late = self.since + (SLOW_SECONDS if self.did_well else PROBE_SECONDS)
        return min(late, self.well_at + LATELY_SECONDS) if crowded and trust is Trust.PROVEN else late

    def window_at(self, now: float, overdue: bool = False) -> int:
        """Return the most slots that the lane may use while it is proven."""
        if now - self.well_at <= LATELY_SECONDS:
            return self.window
        # A lane that has jobs waiting, and has not delivered lately, may hang.
        return 1 if overdue else PROVEN_SLOTS

    def does_well(self, at_once: int, now: float) -> None:
        """Note that an attempt did well, while so many slots were used at the same time."""
        self.window = max(self.window_at(now), GROWTH * at_once)
        self.well_at = now
