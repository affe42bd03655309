"""A run: kills by the schedule while events flow; waits until nothing is under way; collects what was noted."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.chaos.checker import Check
from tests.chaos.collect import collect
from tests.chaos.looks import PATIENCE, in_flight, until_quiet
from tests.chaos.records import ACCEPTED, TAKEN, Count, Killed, Records
from tests.chaos.schedule import OVER_RABBITMQ, OVER_REDIS, Kill, Victim, schedule
from tests.chaos.stage import WORKERS, Stage, staged
from tests.chaos.victims import Mortal, accident

#: Events flow for so long before the first kill, and after the last victim is back (seconds).
CALM_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be. `pauses`: seconds between two kills, at least and at most."""

    seed: str
    kills: int
    rabbitmq: bool
    pauses: tuple[float, float] = (0.5, 7.0)
    #: Integrations of a second store, which all observe each of its few events; 0 is without that store.
    crowd: int = 0

    @property
    def schedule(self) -> tuple[Kill, ...]:
        """Its kills."""
        victims = OVER_RABBITMQ if self.rabbitmq else OVER_REDIS
        return schedule(f"{self.seed} {self.rabbitmq}", self.kills, victims, self.pauses, WORKERS)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    kills: int
    accepted: int
    delivered: int
    doing: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that is over, with how long its producers offered (seconds)."""

    plan: Plan
    records: Records
    problems: list[str]
    offered_for: float


async def play(plan: Plan, folder: Path, report: Callable[[Progress], None]) -> Outcome:
    """Carries out a plan; its processes' logs and the journals are left in the folder."""
    async with staged(folder, rabbitmq=plan.rabbitmq, crowd=plan.crowd) as stage:
        run = _Run(plan, stage, report)
        try:
            return await run.play()
        finally:
            # A process that is starting is ended only when it has started: half a server cannot be.
            await asyncio.gather(*run.returning.values(), return_exceptions=True)


@dataclass
class _Run:
    plan: Plan
    stage: Stage
    report: Callable[[Progress], None]
    killed: list[Killed] = field(default_factory=list)
    accidents: list[str] = field(default_factory=list)
    #: Victims on their way back.
    returning: dict[tuple[Victim, int], asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        #: What was accepted, by ingress.
        self._accepted = {each: Count([self.stage.offers(each)], ACCEPTED) for each in self.stage.producers}
        self._delivered = Count([self.stage.requests], TAKEN)

    async def play(self) -> Outcome:
        began = monotonic()
        for producer in self.stage.producers.values():
            producer.start()
        await self._calm("events flow")
        for kill in self.plan.schedule:
            await asyncio.sleep(kill.after)
            await self._kill(kill)
        await asyncio.gather(*self.returning.values())
        await self._calm("everybody is back")
        await self._until_each_was_accepted()
        for producer in self.stage.producers.values():
            self._accident(producer.check)
        await asyncio.gather(*(asyncio.to_thread(each.finish) for each in self.stage.producers.values()))
        offered_for = monotonic() - began
        if waiting := await until_quiet(self.stage, lambda: self._say("waits for what is owed")):
            self.accidents.append(f"{waiting} events, jobs and messages still wait after {PATIENCE:g} s")
        for worker in (*self.stage.workers, self.stage.api):
            self._accident(worker.check)
        self._say("checks the balance")
        records = await collect(self.stage, self.killed, self.accidents)
        return Outcome(self.plan, records, Check(records).problems(), offered_for)

    async def _kill(self, kill: Kill) -> None:
        for process in kill.after_return_of:
            if process in self.returning:
                await self.returning[process]
        victim, leased = self.stage.victim(kill), 0
        if kill.victim is Victim.REDIS:
            leased = await in_flight(self.stage, *self.stage.workers)
        self._accident(victim.kill)
        # Of a worker that is killed or stopped while Redis is away, they were counted when that was killed.
        if kill.victim in (Victim.WORKER, Victim.SLEEPER) and not self._is_away(Victim.REDIS):
            leased = await in_flight(self.stage, self.stage.workers[kill.number])
        self.killed.append(Killed(kill.victim, leased))
        self.returning[kill.process] = asyncio.create_task(self._return(kill, victim))
        self._say(f"gone: {kill.victim}{_which(kill)}")

    def _is_away(self, victim: Victim) -> bool:
        returning = self.returning.get((victim, 0))
        return returning is not None and not returning.done()

    async def _return(self, kill: Kill, victim: Mortal) -> None:
        await asyncio.sleep(kill.down)
        await asyncio.to_thread(victim.start)

    def _accident(self, step: Callable[[], None]) -> None:
        if why := accident(step):
            self.accidents.append(why)

    async def _calm(self, doing: str) -> None:
        self._say(doing)
        await asyncio.sleep(CALM_SECONDS)

    async def _until_each_was_accepted(self) -> None:
        """Wait until something was accepted by each ingress: a busy machine takes its time."""
        end = monotonic() + PATIENCE
        while not all(each.now() for each in self._accepted.values()) and monotonic() < end:
            await self._calm("waits until each producer is served")

    def _say(self, doing: str) -> None:
        accepted = sum(each.now() for each in self._accepted.values())
        self.report(Progress(len(self.killed), accepted, self._delivered.now(), doing))


def _which(kill: Kill) -> str:
    """Which one it is, or how far the clock has stepped."""
    if kill.victim is Victim.CLOCK:
        return f" {kill.step:+g} s"
    return f" {kill.number}" if kill.process[0] is Victim.WORKER else ""
