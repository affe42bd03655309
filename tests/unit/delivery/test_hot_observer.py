"""When a process waits for new events in the ledger, and when it leaves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from worker.delivery import hot_observer as module
from worker.delivery.hot_observer import AT_ONCE, HotObserver
from worker.ledger import LedgerUnavailable
from worker.ledger.events.hot_events import NewEvents


class Fleet:
    """A ledger, a process's slots and its broker: what happens is noted in order."""

    def __init__(self) -> None:
        self.now, self.slots, self.left = 1_000.0, 5, list[str]()
        self.noted: list[str] = []
        self.came: asyncio.Queue[list[str] | Exception] = asyncio.Queue()
        self.turned, self.changed = asyncio.Condition(), asyncio.Event()
        self.waits = 0
        #: Cleared, it keeps events from being observed.
        self.going_on = asyncio.Event()
        self.going_on.set()

    def note(self, what: str) -> None:
        self.noted.append(what)
        self.changed.set()

    async def until(self, *noted: str) -> None:
        while self.noted != list(noted):
            self.changed.clear()
            await self.changed.wait()

    async def join(self) -> None:
        self.note("join")

    async def leave(self) -> Sequence[str]:
        self.note("leave")
        return self.left

    async def wait(self) -> NewEvents:
        async with self.turned:
            self.waits += 1
            self.turned.notify_all()
        came = await self.came.get()
        if isinstance(came, Exception):
            raise came
        return NewEvents((), came)

    async def observe(self, new: NewEvents) -> None:
        self.note(f"observe {' '.join(new.refs)}")
        await self.going_on.wait()

    def hand_over(self, refs: Sequence[str]) -> None:
        self.note(f"hand over {' '.join(refs)}")

    async def comes(self, came: list[str] | Exception, *, after: float = 0.0) -> None:
        """Have a wait end with something after some seconds, and wait for the next wait or for the end."""
        self.now += after
        seen = self.waits
        self.came.put_nowait(came)
        async with self.turned:
            await self.turned.wait_for(lambda: self.waits > seen)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    made = Fleet()
    monkeypatch.setattr(module, "monotonic", lambda: made.now)
    return made


@asynccontextmanager
async def observer_of(fleet: Fleet, idle: float = 2.0) -> AsyncIterator[HotObserver]:
    observer = HotObserver(fleet, fleet.observe, lambda: fleet.slots, fleet.hand_over, idle)
    try:
        yield observer
    finally:
        fleet.came.put_nowait([])
        await observer.close()


async def waits(fleet: Fleet) -> None:
    async with fleet.turned:
        await fleet.turned.wait_for(lambda: fleet.waits > 0)


async def ends(observer: HotObserver) -> None:
    await observer.close()


async def test_it_observes_what_comes_and_leaves_after_a_quiet_time(fleet: Fleet) -> None:
    async with observer_of(fleet) as observer:
        observer.start()
        await waits(fleet)
        await fleet.comes(["e-1", "e-2"], after=0.5)
        await fleet.comes([], after=0.4)
        await fleet.comes(["e-3"], after=0.5)
        fleet.now += 2.1
        fleet.came.put_nowait([])
        await ends(observer)
    assert fleet.noted == ["join", "observe e-1 e-2", "join", "observe e-3", "leave"]


async def test_its_registration_is_renewed_while_events_come(fleet: Fleet) -> None:
    async with observer_of(fleet) as observer:
        observer.start()
        await waits(fleet)
        for number in range(4):
            await fleet.comes([f"e-{number}"], after=0.6)
    assert fleet.noted.count("join") == 3


async def test_a_process_without_a_free_slot_is_not_registered_and_the_rest_is_handed_over(fleet: Fleet) -> None:
    async with observer_of(fleet) as observer:
        fleet.slots = 0
        observer.start()
        observer.follow()
        assert fleet.noted == []
        fleet.slots = 1
        observer.start()
        await waits(fleet)
        fleet.slots, fleet.left = 0, ["e-2"]
        fleet.came.put_nowait(["e-1"])
        await ends(observer)
    assert sorted(fleet.noted) == sorted(["join", "observe e-1", "leave", "hand over e-2"])


async def test_one_that_follows_is_not_registered_and_ends_soon_after_the_last_sweep(fleet: Fleet) -> None:
    async with observer_of(fleet) as observer:
        observer.follow()
        await waits(fleet)
        await fleet.comes(["e-1"], after=1.0)
        await fleet.comes(["e-2"], after=1.0)
        fleet.now += 0.6
        fleet.came.put_nowait(["e-3"])
        await ends(observer)
    assert fleet.noted == ["observe e-1", "observe e-2", "observe e-3"]


async def test_a_ledger_that_fails_ends_it_and_the_next_wakeup_starts_it_again(fleet: Fleet) -> None:
    async with observer_of(fleet) as observer:
        observer.start()
        await waits(fleet)
        fleet.came.put_nowait(LedgerUnavailable("away"))
        await fleet.until("join", "leave")
        observer.start()
        await fleet.until("join", "leave", "join")
    assert fleet.noted == ["join", "leave", "join", "leave"]


async def test_a_process_that_stops_hands_over_what_waits(fleet: Fleet) -> None:
    fleet.left = ["e-9"]
    async with observer_of(fleet) as observer:
        observer.start()
        await waits(fleet)
        observer.stop()
        fleet.came.put_nowait([])
        await ends(observer)
        observer.start()
        observer.follow()
    assert fleet.noted == ["join", "leave", "hand over e-9"]


async def test_a_process_that_stops_waits_for_no_ledger_that_does_not_answer(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.0)
    async with observer_of(fleet) as observer:
        observer.start()
        await waits(fleet)
        # The wait gets no answer.
        await observer.close()
    assert fleet.noted == ["join", "leave"]


async def test_none_waits_where_the_setting_disables_it(fleet: Fleet) -> None:
    async with observer_of(fleet, idle=0.0) as observer:
        observer.start()
        observer.follow()
    assert fleet.noted == []


async def test_a_batch_waits_while_others_are_observed_until_one_of_them_ends(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1e6)
    fleet.going_on.clear()
    async with observer_of(fleet) as observer:
        observer.start()
        await waits(fleet)
        for number in range(AT_ONCE - 1):
            await fleet.comes([f"e-{number}"], after=0.01)
        seen = fleet.waits
        fleet.came.put_nowait(["last"])
        await fleet.until("join", *(f"observe e-{number}" for number in range(AT_ONCE - 1)), "observe last")
        for _ in range(20):
            await asyncio.sleep(0)
        assert fleet.waits == seen
        fleet.going_on.set()
        await fleet.comes([])


async def test_a_large_fan_out_keeps_no_other_event_waiting(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    fleet.going_on.clear()
    async with observer_of(fleet) as observer:
        observer.start()
        await waits(fleet)
        for number in range(2 * AT_ONCE):
            await fleet.comes([f"e-{number}"], after=0.01)
        fleet.going_on.set()
    assert fleet.noted[1:-1] == [f"observe e-{number}" for number in range(2 * AT_ONCE)]
