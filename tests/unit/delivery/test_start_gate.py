"""The gate before attempts: few start in one turn of the loop, and another store's does not wait for many."""

import asyncio

from worker.delivery.start_gate import STARTS_PER_TURN, StartGate


class Starts:
    """Attempts that start once the gate lets them."""

    def __init__(self) -> None:
        self.gate = StartGate()
        self.started: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def add(self, store: str, count: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._start(store)) for _ in range(count)]

    async def _start(self, store: str) -> None:
        await self.gate.enter(store)
        self.started.append(store)


async def test_in_one_turn_of_the_loop_only_a_few_start_and_at_last_all() -> None:
    starts = Starts()
    starts.add("a", 5 * STARTS_PER_TURN)
    before = 0
    for _ in range(100):
        await asyncio.sleep(0)
        assert len(starts.started) - before <= STARTS_PER_TURN
        before = len(starts.started)
    await asyncio.gather(*starts.tasks)
    assert len(starts.started) == 5 * STARTS_PER_TURN


async def test_the_first_of_another_store_starts_at_once() -> None:
    starts = Starts()
    starts.add("a", 10 * STARTS_PER_TURN)
    starts.add("b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "b" in starts.started
    assert len(starts.started) <= 2 * STARTS_PER_TURN


async def test_stores_with_many_take_turns() -> None:
    starts = Starts()
    starts.add("a", 10 * STARTS_PER_TURN)
    starts.add("b", 10 * STARTS_PER_TURN)
    await asyncio.gather(*starts.tasks)
    first_half = starts.started[: 10 * STARTS_PER_TURN]
    assert abs(first_half.count("a") - first_half.count("b")) <= 2 * STARTS_PER_TURN


async def test_one_that_is_cancelled_while_it_waits_takes_no_turn() -> None:
    starts = Starts()
    starts.add("a", 3 * STARTS_PER_TURN)
    await asyncio.sleep(0)
    for task in starts.tasks[STARTS_PER_TURN:-1]:
        task.cancel()
    await asyncio.gather(*starts.tasks, return_exceptions=True)
    assert len(starts.started) == STARTS_PER_TURN + 1


async def test_after_a_quiet_time_as_many_start_at_once_again() -> None:
    starts = Starts()
    for _ in range(3):
        starts.add("a", STARTS_PER_TURN)
        await asyncio.gather(*starts.tasks)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(starts.started) == 3 * STARTS_PER_TURN
