"""A run: kills by the schedule while events flow; waits until nothing is under way; collects what was noted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from kombu.connection import Connection

from config.celery import EVENTS_QUEUE, INTAKE_QUEUE
from tests.chaos.checker import Check
from tests.chaos.collect import collect
from tests.chaos.records import ACCEPTED, TAKEN, Count, Killed, Records
from tests.chaos.schedule import OVER_RABBITMQ, OVER_REDIS, Kill, Victim, schedule
from tests.chaos.stage import WORKERS, Stage, staged
from tests.chaos.victims import Mortal, ProcessVictim, accident
from worker.ledger import LedgerUnavailable

#: Events flow for so long before the first kill, and after the last victim is back (seconds).
CALM_SECONDS = 2.0
#: What is owed when the producers have stopped is delivered within so long (seconds).
PATIENCE = 60.0
#: Nothing may have moved for so many looks in a row, so far apart (seconds).
QUIET_LOOKS = 4
LOOK_SECONDS = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be. `pauses`: seconds between two kills, at least and at most."""

    seed: str
    kills: int
    rabbitmq: bool
    pauses: tuple[float, float] = (2.0, 7.0)

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


async def play(plan: Plan, folder: Path, tell: Callable[[Progress], None]) -> Outcome:
    """Carries out a plan; its processes' logs and the journals are left in the folder."""
    async with staged(folder, rabbitmq=plan.rabbitmq) as stage:
        run = _Run(plan, stage, tell)
        try:
            return await run.play()
        finally:
            # Whoever is being started is ended only when it has been: half a server cannot be.
            await asyncio.gather(*run.returning.values(), return_exceptions=True)


@dataclass
class _Run:
    plan: Plan
    stage: Stage
    tell: Callable[[Progress], None]
    killed: list[Killed] = field(default_factory=list)
    accidents: list[str] = field(default_factory=list)
    #: Victims on their way back.
    returning: dict[tuple[Victim, int], asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        offers = [self.stage.offers(door) for door in self.stage.producers]
        self._accepted, self._delivered = Count(offers, ACCEPTED), Count([self.stage.requests], TAKEN)

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
        for producer in self.stage.producers.values():
            self._accident(producer.check)
        await asyncio.gather(*(asyncio.to_thread(each.finish) for each in self.stage.producers.values()))
        offered_for = monotonic() - began
        await self._quiet()
        for worker in (*self.stage.workers, self.stage.api):
            self._accident(worker.check)
        self._say("reads the books")
        records = await collect(self.stage, self.killed, self.accidents)
        return Outcome(self.plan, records, Check(records).problems(), offered_for)

    async def _kill(self, kill: Kill) -> None:
        which = (kill.victim, kill.number)
        if which in self.returning:
            await self.returning[which]
        # The books say what is in flight, so nobody is killed while the store is away.
        if (Victim.STORE, 0) in self.returning:
            await self.returning[Victim.STORE, 0]
        victim = self.stage.victim(*which)
        leased = await self._leased(kill.victim, victim) if kill.victim is Victim.STORE else 0
        self._accident(victim.kill)
        if kill.victim is Victim.WORKER:
            leased = await self._leased(kill.victim, victim)
        self.killed.append(Killed(kill.victim, leased))
        self.returning[which] = asyncio.create_task(self._return(kill, victim))
        self._say(f"killed {kill.victim}{f' {kill.number}' if kill.victim is Victim.WORKER else ''}")

    async def _return(self, kill: Kill, victim: Mortal) -> None:
        await asyncio.sleep(kill.down)
        await asyncio.to_thread(victim.start)

    def _accident(self, step: Callable[[], None]) -> None:
        if why := accident(step):
            self.accidents.append(why)

    async def _leased(self, kind: Victim, victim: Mortal) -> int:
        """The attempts in flight with a worker, or with all of them."""
        if isinstance(victim, ProcessVictim):
            ready = victim.said("worker ready")
            owners = [ready["owner"]] if ready else []
        else:
            owners = [owner.decode() for owner in await self._look("zrange", "owners", 0, -1)]
        return sum([int(await self._look("scard", f"owner:{owner}:leases")) for owner in owners])

    async def _look(self, command: str, key: str, *arguments: int) -> Any:
        return await self._patiently(partial(self.stage.ledger.store.call, command, key, *arguments))

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        """Reads the ledger, whose connections may be of a store that was killed."""
        end = monotonic() + PATIENCE
        while True:
            try:
                return await read()
            except LedgerUnavailable:
                if monotonic() > end:
                    raise
                await asyncio.sleep(0.05)

    async def _calm(self, doing: str) -> None:
        self._say(doing)
        await asyncio.sleep(CALM_SECONDS)

    async def _quiet(self) -> None:
        """Waits until nothing is owed, and nothing has moved for a while."""
        end, still, last = monotonic() + PATIENCE, 0, None
        while still < QUIET_LOOKS:
            status = await self._patiently(self.stage.ledger.status.read)
            waiting = status.inbox + status.pending + await self._queued()
            still = still + 1 if not waiting and status.counters == last else 0
            last = status.counters
            if monotonic() > end:
                self.accidents.append(f"{waiting} events, jobs and messages still wait after {PATIENCE:g} s")
                return
            self._say("waits for what is owed")
            await asyncio.sleep(LOOK_SECONDS)

    async def _queued(self) -> int:
        """Messages on the queues of events: what is in a worker's hands is soon in the inbox."""
        if self.stage.rabbit is not None:
            return await asyncio.to_thread(_ready_messages, self.stage.rabbit.url())
        client = self.stage.ledger.store.client
        lists = [int(await client.execute_command("LLEN", name)) for name in (EVENTS_QUEUE, INTAKE_QUEUE)]
        return sum(lists) + int(await self._look("zcard", "takers"))

    def _say(self, doing: str) -> None:
        self.tell(Progress(len(self.killed), self._accepted.now(), self._delivered.now(), doing))


def _ready_messages(url: str) -> int:
    with Connection(url) as connection:
        channel = connection.channel()
        queues = (EVENTS_QUEUE, INTAKE_QUEUE, f"{INTAKE_QUEUE}.dead")
        return sum(channel.queue_declare(name, passive=True).message_count for name in queues)
