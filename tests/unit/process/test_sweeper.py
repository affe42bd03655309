"""What a worker's timers report. The ledger beside them is a fake, whose answers a test can keep back."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.waiting import eventually
from worker.ledger.fleet import Overdue, Sweep
from worker.ledger.lease import Lease
from worker.ledger.policy import LedgerPolicy
from worker.process.sweeper import Sweeper
from worker.telemetry.readiness import Presence, State
from worker.telemetry.worker_health import WorkerHealth

NOTHING = Sweep([], [], -1)


class Ledger:
    """It has nothing to do; its sweeps may go unanswered."""

    def __init__(self, lease: int = 15_000) -> None:
        self.policy = LedgerPolicy(lease=lease)
        self.fleet = self.redis = self.intake_list = self.erasure = self
        self.lease = Lease(lease / 1000)
        self.owner = "me"
        self.sweeps = asyncio.Event()
        self.sweeps.set()
        #: What the next sweep finds.
        self.found = NOTHING

    async def renew(self) -> bool:
        return True

    async def restarted(self) -> bool:
        return False

    async def leases(self) -> list[str]:
        return []

    async def sweep(self) -> Any:
        await self.sweeps.wait()
        found, self.found = self.found, NOTHING
        return found

    async def dead_neighbours(self) -> list[str]:
        return []

    async def seize(self, idle_jobs: list[str], dead: list[str]) -> list[Any]:
        return []

    async def expire(self) -> int:
        return 0

    async def forget(self) -> int:
        return 0

    async def resume(self) -> int:
        return 0

    async def return_dead(self) -> int:
        return 0


def sweeper_of(
    ledger: Any,
    sweep_seconds: float,
    spare: int = 1,
    served: list[str] | None = None,
    announced: list[str] | None = None,
    noted: list[bool] | None = None,
) -> Sweeper:
    served, announced = served if served is not None else [], announced if announced is not None else []
    noted = noted if noted is not None else []
    deliveries: Any = SimpleNamespace(
        held=set(),
        calling_since=0.0,
        room=1,
        spare=spare,
        serve=served.extend,
        note_others=lambda *, alone: noted.append(alone),
        cut_off_overdue=lambda: None,
        in_flight=0,
    )
    wakeups: Any = SimpleNamespace(events=lambda _: None, lanes=announced.extend)
    nobody: Any = None
    relay: Any = SimpleNamespace(publish=_nothing)
    return Sweeper(ledger, nobody, deliveries, wakeups, relay, nobody, sweep_seconds, Presence())


async def _nothing(_: Any) -> None: ...


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def sweeper(ledger: Ledger) -> AsyncIterator[Sweeper]:
    made = sweeper_of(ledger, 0.02)
    made.open()
    yield made
    for timer in made._timers:
        timer.cancel()
    await asyncio.gather(*made._timers, return_exceptions=True)


async def contact(sweeper: Sweeper) -> None:
    """Until the ledger has answered once more."""
    before = sweeper.answered_at
    await eventually(lambda: sweeper.answered_at != before, "the ledger answers")


async def test_a_sweep_that_is_long_over_what_it_found_does_not_hide_that_the_ledger_answers(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    await contact(sweeper)
    ledger.sweeps.clear()
    swept_at = sweeper.swept_at
    for _ in range(3):
        await contact(sweeper)
    assert sweeper.swept_at == swept_at


@pytest.mark.parametrize(("asked", "lease", "pause"), [(1.0, 15_000, 1.0), (60.0, 60_000, 12.0), (60.0, 2_000, 0.4)])
async def test_it_is_as_long_silent_as_its_own_pause_before_its_readiness_doubts_the_ledger(
    asked: float, lease: int, pause: float
) -> None:
    sweeper = sweeper_of(Ledger(lease), asked)
    assert sweeper.pause == pytest.approx(pause)
    health = WorkerHealth()
    health.ledger.there()
    pool: Any = SimpleNamespace(draining=False, in_flight=0)
    health.begin(sweeper, pool)
    sweeper.answered_at -= pause + 1.0
    assert health.ready().checks["ledger"].status is State.OK
    sweeper.answered_at -= 2.0
    assert health.ready().checks["ledger"].status is State.RED


@pytest.mark.parametrize(
    ("alone", "spare", "here"),
    [
        (False, 0, []),
        (False, 2, ["again", "first"]),
        (False, 9, ["again", "first", "second"]),
        (True, 0, ["again", "first", "second"]),
    ],
)
async def test_overdue_lanes_are_served_here_as_far_as_slots_are_free_and_others_are_woken_for_the_rest(
    ledger: Ledger, alone: bool, spare: int, here: list[str]
) -> None:
    overdue = [Overdue("first", 1), Overdue("again", 2), Overdue("second", 1)]
    ledger.found = Sweep([], overdue, 0, alone=alone)
    served: list[str] = []
    announced: list[str] = []
    noted: list[bool] = []
    await sweeper_of(ledger, 1.0, spare, served, announced, noted)._sweep()
    assert noted == [alone]
    assert served == here
    assert [*served, *announced] == ["again", "first", "second"]
