"""Retry decisions: pure functions of an attempt's outcome. The random number is an argument."""

from dataclasses import dataclass

from deliverers.contract import Counted, Delivered, Gone, Refused, Unreachable

#: Status codes whose Retry-After makes the whole lane rest (RFC 9110 section 10.2.3, RFC 6585 section 4).
RESTING_STATUS = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Succeed:
    """The job ends delivered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The job is due again after `delay` seconds, and its whole lane rests for `rest` seconds."""

    delay: float
    rest: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """The job ends undelivered. `disable` is why the integration is to be disabled; empty if it is not."""

    reason: str
    disable: str = ""


Decision = Succeed | Retry | Fail


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The retry schedule: the delay after each failed attempt, with jitter. All durations are in seconds."""

    schedule: tuple[float, ...]
    #: A delay varies by up to this fraction of itself in both directions.
    jitter: float = 0.2
    #: Longest delay that a receiver's Retry-After can request.
    retry_after_cap: float = 24 * 3600.0

    def decide(self, outcome: Counted, attempt: int, random: float) -> Decision:
        """Return what follows the `attempt`-th try (1, 2, 3 … since the job was opened or reopened).

        `random`, in [0, 1), places the delay within its jitter.
        """
        match outcome:
            case Delivered():
                return Succeed()
            case Gone(reason=reason):
                return Fail("gone", disable=reason)
            case Refused(status=status, retry_after=asked) if asked is not None:
                return self._again(attempt, random, min(asked, self.retry_after_cap), status in RESTING_STATUS)
            case Refused() | Unreachable():
                return self._again(attempt, random, 0.0, resting=False)

    def after_loss(self, attempt: int, lost: int, random: float) -> Decision:
        """Return what follows when an attempt of a job was lost with its worker for the `lost`-th time.

        The first loss says nothing about the receiver, so the job is due at once. A job that is lost again may be what
        kills the worker, so it waits for its scheduled delay.
        """
        if lost <= 1 and attempt <= len(self.schedule):
            return Retry(0.0)
        return self._again(attempt, random, 0.0, resting=False)

    def _again(self, attempt: int, random: float, asked: float, resting: bool) -> Decision:
        if attempt > len(self.schedule):
            return Fail("exhausted")
        planned = self.schedule[attempt - 1] * (1 + self.jitter * (2 * random - 1))
        return Retry(max(planned, asked), asked if resting else 0.0)
