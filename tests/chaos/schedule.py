"""Who is killed when, and when the clock steps. A function of the seed, so that a red run can be repeated."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Victim(StrEnum):
    """What may be killed."""

    WORKER = "worker"
    #: A worker that is not killed: SIGSTOP keeps it from running for longer than its lease.
    SLEEPER = "stopped worker"
    API = "api"
    PUBLISHER = "publisher"
    REDIS = "redis"
    BROKER = "broker"
    #: Redis's clock, which steps, and later steps back to where it would be.
    CLOCK = "clock"


#: How often each is chosen, beside the others: workers hold what is in flight.
WEIGHTS = {
    Victim.WORKER: 4,
    Victim.SLEEPER: 2,
    Victim.API: 2,
    Victim.PUBLISHER: 2,
    Victim.REDIS: 2,
    Victim.BROKER: 1,
    Victim.CLOCK: 2,
}
#: Where Redis is the broker too.
OVER_REDIS = (Victim.WORKER, Victim.SLEEPER, Victim.API, Victim.PUBLISHER, Victim.REDIS, Victim.CLOCK)
OVER_RABBITMQ = (*OVER_REDIS, Victim.BROKER)
#: A victim is started again after so long at most (seconds): at once, or so late that others take over.
LONGEST_DOWN = 3.0
#: The leases of workers, and how many of them a stopped worker is stopped for, at least and at most (seconds, leases).
LEASE_SECONDS = 2.0
SLEEPS = (1.25, 2.5)
#: How far the clock steps (seconds): back, ahead by more than a lease, and ahead by so much that it is held back. A day
#: is less than what Redis keeps by its own clock.
STEPS = (-600.0, -0.5, 20.0, 86_400.0)


@dataclass(frozen=True, slots=True)
class Kill:
    """One `kill -9`, SIGSTOP or step, so many seconds after the one before it, and how long its victim stays down."""

    after: float
    victim: Victim
    #: Which one, where there are several of the kind.
    number: int
    down: float
    #: How far the clock steps (seconds).
    step: float = 0.0

    @property
    def after_return_of(self) -> tuple[tuple[Victim, int], ...]:
        """What must be back before this: the victim itself. A clock cannot step while its Redis is away."""
        redis_and_clock = (Victim.REDIS, Victim.CLOCK)
        return tuple((each, 0) for each in redis_and_clock) if self.victim in redis_and_clock else (self.process,)

    @property
    def process(self) -> tuple[Victim, int]:
        """The process that it is about: a worker may be stopped or killed."""
        return (Victim.WORKER if self.victim is Victim.SLEEPER else self.victim), self.number


def schedule(
    seed: str, kills: int, victims: Sequence[Victim], pauses: tuple[float, float], workers: int
) -> tuple[Kill, ...]:
    """So many kills, with pauses between two bounds (seconds). Each kind occurs, where there are enough of them."""
    random = Random(seed)
    more = random.choices(victims, [WEIGHTS[each] for each in victims], k=max(0, kills - len(victims)))
    kinds = [*random.sample(victims, min(kills, len(victims))), *more]
    random.shuffle(kinds)
    return tuple(
        Kill(
            after=random.uniform(*pauses),
            victim=kind,
            number=random.randrange(workers) if kind in (Victim.WORKER, Victim.SLEEPER) else 0,
            down=_down(kind, random),
            step=random.choice(STEPS) if kind is Victim.CLOCK else 0.0,
        )
        for kind in kinds
    )


def _down(kind: Victim, random: Random) -> float:
    if kind is Victim.SLEEPER:
        return LEASE_SECONDS * random.uniform(*SLEEPS)
    # Short absences are as likely as all the longer ones: they are what a supervisor makes of a crash.
    return random.choice((0.0, random.uniform(0.0, LONGEST_DOWN)))
