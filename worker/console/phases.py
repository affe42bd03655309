"""The phases of an attempt, as bars one after the other. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from deliverers.exchange import PhaseTimes

#: Shares below this one are rounding, not a phase.
_LEAST_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class PhaseBar:
    """A phase of an attempt: its start and width in percent of the whole, and how long it took (seconds)."""

    name: str
    start: float
    width: float
    seconds: float


def phases_of(times: PhaseTimes, total: float) -> Sequence[PhaseBar]:
    """Return the phases of an attempt that took `total` seconds; none if the deliverer measured none."""
    measured = [
        (name, seconds)
        for name, seconds in (
            ("DNS", times.dns),
            ("Connect", times.connect),
            ("TLS", times.tls),
            ("First byte", times.first_byte),
        )
        if seconds is not None
    ]
    if not measured:
        return ()
    known = sum(seconds for _, seconds in measured)
    whole = max(total, known)
    if (rest := whole - known) > whole * _LEAST_SHARE:
        measured.append(("Rest", rest))
    scale = 100 / whole if whole else 0.0
    phases, start = [], 0.0
    for name, seconds in measured:
        phases.append(PhaseBar(name, round(scale * start, 2), round(scale * seconds, 2), seconds))
        start += seconds
    return phases
