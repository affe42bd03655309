"""When a job is tried again: pure decisions over outcomes. Randomness is an argument."""

from dataclasses import dataclass

from deliverers.contract import Counted, Delivered, Gone, Refused, Unreachable

#: The answers whose Retry-After rests the whole lane (RFC 9110 section 10.2.3, RFC 6585 section 4).
RESTING_STATUS = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Succeed:
    """The job ends: it was delivered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The job is due again after `delay` seconds; its whole lane rests for `rest` seconds."""

    delay: float
    rest: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """The job ends undelivered. `disable` is why the integration is to be disabled, where it is."""

    reason: str
    disable: str = ""


Decision = Succeed | Retry | Fail


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The schedule of design section 7. All durations are seconds."""

    schedule: tuple[float, ...]
    #: A delay is stretched or shortened by up to this share of itself.
    jitter: float = 0.2
    #: A receiver may ask for at most this much patience.
    retry_after_cap: float = 24 * 3600.0

    def decide(self, outcome: Counted, attempt: int, random: float) -> Decision:
        """What follows the `attempt`-th try (1, 2, 3 … since the job was opened or reopened).

        `random` lies in [0, 1) and places the delay within its jitter.
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
        """What follows an attempt that was lost with its worker, for the `lost`-th time.

        The first loss says nothing about the receiver: due at once. A job that is lost again may be what kills the
        worker, and so waits its turn.
        """
        if lost <= 1 and attempt <= len(self.schedule):
            return Retry(0.0)
        return self._again(attempt, random, 0.0, resting=False)

    def _again(self, attempt: int, random: float, asked: float, resting: bool) -> Decision:
        if attempt > len(self.schedule):
            return Fail("exhausted")
        planned = self.schedule[attempt - 1] * (1 + self.jitter * (2 * random - 1))
        return Retry(max(planned, asked), asked if resting else 0.0)
