"""When outcomes are settled: at once, or together with the next ones. The ledger is a fake."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from deliverers.contract import Delivered
from tests.waiting import eventually
from worker.delivery import settler
from worker.delivery.in_flight import InFlightPool
from worker.delivery.lane_queue import LaneQueue
from worker.delivery.settler import QUIET_LINGER_SECONDS, QUIET_OUTCOMES, QUIET_SECONDS, Settler
from worker.domain.attempt import Attempt
from worker.domain.claim import Claim
from worker.domain.retry_policy import Succeed
from worker.ledger import Settlement
from worker.ledger.lanes.settlements import Settled

#: Between two outcomes of everyday load (seconds).
SOON = QUIET_LINGER_SECONDS / 4


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Calls:
    """The ledger: the number of outcomes in each call."""

    sizes: list[int] = field(default_factory=list)

    async def settle(self, settlements: Sequence[Settlement]) -> Settled:
        self.sizes.append(len(settlements))
        return Settled(["settled"] * len(settlements), [])


class Settling:
    """A settler whose outcomes wait until there are enough, however slow the machine is."""

    def __init__(self) -> None:
        self.clock, self.calls, self.pool = Clock(), Calls(), InFlightPool(100)
        self.queue = LaneQueue(clock=self.clock)
        self.settler = Settler(self.calls, self.pool, self.queue, lambda _attempt, _result: None, self.clock)
        self._added = 0

    async def end(self, outcomes: int, every: float) -> None:
        """End so many attempts, `every` so many seconds, and let the settler look at each."""
        for _ in range(outcomes):
            self.clock.now += every
            self._added += 1
            claim = Claim(f"job-{self._added}", "lane", 1, "o/s", "ref", 1)
            self.pool.add(claim)
            self.settler.add(Attempt(claim, "webhook", Delivered(200, ""), Succeed(), 0.001))
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def settling(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Settling]:
    made = Settling()
    task = asyncio.create_task(made.settler.settle_for_ever())
    await asyncio.sleep(0)
    monkeypatch.setattr(settler, "QUIET_LINGER_SECONDS", 1_000.0)
    yield made
    task.cancel()


async def test_a_single_outcome_is_settled_at_once(settling: Settling) -> None:
    await settling.end(2, every=2_000.0)
    assert settling.calls.sizes == [1, 1]


async def test_outcomes_that_follow_each_other_at_everyday_load_share_a_call(settling: Settling) -> None:
    await settling.end(1, every=2_000.0)
    await settling.end(QUIET_OUTCOMES - 1, every=SOON)
    assert settling.calls.sizes == [1]
    await settling.end(1, every=SOON)
    assert settling.calls.sizes == [1, QUIET_OUTCOMES]


async def test_outcomes_wait_no_longer_than_a_moment(settling: Settling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler, "QUIET_LINGER_SECONDS", QUIET_LINGER_SECONDS)
    await settling.end(2, every=SOON)
    await eventually(lambda: sum(settling.calls.sizes) == 2, "both outcomes are settled")


async def test_no_outcome_waits_while_lanes_wait_for_slots(settling: Settling) -> None:
    await settling.end(1, every=2_000.0)
    settling.queue.put(["another lane"])
    await settling.end(3, every=SOON)
    assert settling.calls.sizes == [1, 1, 1, 1]
    settling.clock.now += QUIET_SECONDS
    await settling.end(1, every=2_000.0)
    await settling.end(1, every=SOON)
    assert settling.calls.sizes == [1, 1, 1, 1, 1], "the last one waits for others"


async def test_no_outcome_waits_for_others_while_the_process_stops(settling: Settling) -> None:
    await settling.end(1, every=2_000.0)
    settling.pool.close()
    await settling.end(1, every=SOON)
    assert settling.calls.sizes == [1, 1]
