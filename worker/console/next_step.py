"""What happens next with an integration, in words. No I/O."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.humanize import counted
from worker.domain.integration import Integration
from worker.ledger.inspection.ledger_status import LaneStatus


class Tone(StrEnum):
    """How a state looks."""

    GOOD = "good"
    BUSY = "busy"
    WARNING = "warning"
    BAD = "bad"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class NextStep:
    """A state in one or two words, what happens next, and when (ms since 1970; 0 if no time is known)."""

    tone: Tone
    state: str
    sentence: str
    at: int = 0
    #: Since when (ms since 1970) all attempts have failed; 0 if the last one succeeded.
    failing_since: int = 0


def next_step(integration: Integration, lane: LaneStatus, now: int) -> NextStep:
    """Return what happens next, given the integration and its lane at the time `now` (ms)."""
    owed, since = _waiting(lane.due + lane.leased), integration.failing_since
    if not integration.enabled:
        who = (
            f"The worker disabled it: {integration.disabled_reason}."
            if integration.disabled_reason
            else "It is disabled."
        )
        tone = Tone.BAD if integration.disabled_reason else Tone.IDLE
        return NextStep(tone, "Disabled", f"{who} New events do not reach it; {owed} until it is enabled.", 0, since)
    if integration.paused:
        return NextStep(Tone.IDLE, "Paused", f"Its events are kept: {owed} until it is resumed.", 0, since)
    if integration.circuit == "open":
        at = integration.circuit_until
        return NextStep(Tone.BAD, "Circuit open", f"One attempt then probes the receiver; {owed}.", at, since)
    if integration.circuit:
        return NextStep(Tone.WARNING, "Probing", f"One attempt at a time, until one succeeds; {owed}.", 0, since)
    at = now - lane.oldest_due_age if lane.due and lane.oldest_due_age < 0 else 0
    if since:
        tries = counted(integration.failing_attempts, "attempt")
        what = "The next attempt" if lane.due + lane.leased else "Nothing is owed; the next event"
        return NextStep(
            Tone.WARNING, "Failing", f"The last {tries} failed. {what} shows whether it works again.", at, since
        )
    if lane.leased:
        return NextStep(
            Tone.BUSY, "Delivering", f"{counted(lane.leased, 'attempt')} in flight, {lane.due} waiting.", at
        )
    if lane.due:
        whose = "its" if lane.due == 1 else "their"
        return NextStep(Tone.BUSY, "Delivering", f"{owed} for {whose} turn.", at)
    return NextStep(Tone.GOOD, "Healthy", "Nothing is owed.")


def _waiting(count: int) -> str:
    """Return how many deliveries wait, in words."""
    if count == 1:
        return "1 delivery waits"
    return f"{count:,} deliveries wait" if count else "no delivery waits"
