"""Requests share a call of the ledger, and nobody's trouble is another's; pressure is looked at once a second."""

import asyncio
from collections.abc import Sequence

import pytest

from config.settings import Settings
from worker.api.api_errors import ApiError
from worker.api.services import event_intake as intake_module
from worker.api.services.event_intake import GATHERED_MOST, AcceptBatcher, EventIntake
from worker.domain.event import Event, Ingress, Scope
from worker.ledger import Acceptance, LedgerFull, LedgerUnavailable
from worker.ledger.events.inbox import Pressure

SCOPE = Scope("org-1", "store-1")
OTHER = Scope("org-1", "store-2")


def event(name: str, scope: Scope = SCOPE) -> Event:
    return Event(name, "order.paid", scope, b"{}", b"{}", None, None, None)


def events(count: int, prefix: str = "e") -> list[Event]:
    return [event(f"{prefix}-{index}") for index in range(count)]


class Inbox:
    """A ledger's inbox. While it is held, calls of accept() wait for `release`."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.known: set[str] = set()
        self.errors: list[Exception] = []
        self.at_once = 0
        self.most_at_once = 0
        self.release = asyncio.Semaphore(1_000)
        self.called = asyncio.Event()
        self.pressures: list[Pressure | Exception] = []
        self.looks = 0
        self.allowance: dict[Scope, float] = {}
        self.admitted: list[tuple[Scope, int, int]] = []

    def hold(self) -> None:
        self.release = asyncio.Semaphore(0)

    async def accept(self, given: Sequence[Event], ingress: Ingress = Ingress.HTTP) -> list[Acceptance]:
        self.calls.append([each.id for each in given])
        self.called.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            # As in Redis' case, there is no reply before the next turn of the loop.
            await asyncio.sleep(0)
            await self.release.acquire()
        finally:
            self.at_once -= 1
        if self.errors:
            raise self.errors.pop(0)
        return [self._one(each) for each in given]

    def _one(self, given: Event) -> Acceptance:
        known = given.ref in self.known
        self.known.add(given.ref)
        return Acceptance.DUPLICATE if known else Acceptance.NEW

    async def admit(self, scope: Scope, events: int, rate: int) -> float:
        self.admitted.append((scope, events, rate))
        return self.allowance.get(scope, 0.0)

    async def pressure(self) -> Pressure:
        self.looks += 1
        await asyncio.sleep(0)
        found = self.pressures.pop(0) if self.pressures else Pressure(0, 0.0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


async def started(inbox: Inbox, gathering: AcceptBatcher, given: Sequence[Event]) -> "asyncio.Task[list[Acceptance]]":
    """A call that is under way, and does not end before it may."""
    inbox.hold()
    task = asyncio.create_task(gathering.accept(given))
    await inbox.called.wait()
    return task


async def waiting(gathering: AcceptBatcher, *groups: Sequence[Event]) -> list["asyncio.Task[list[Acceptance]]"]:
    tasks = [asyncio.create_task(gathering.accept(group)) for group in groups]
    await asyncio.sleep(0)
    return tasks


class TestGathering:
    async def test_one_alone_goes_at_once(self, inbox: Inbox) -> None:
        assert await AcceptBatcher(inbox.accept).accept(events(2)) == [Acceptance.NEW] * 2
        assert inbox.calls == [["e-0", "e-1"]]

    async def test_those_that_come_meanwhile_share_the_next_call(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)
        first = await started(inbox, gathering, [event("first")])
        tasks = await waiting(gathering, *([event(f"e-{index}")] for index in range(5)))

        inbox.release.release()
        await first
        inbox.release.release()
        await asyncio.gather(*tasks)

        assert inbox.calls == [["first"], [f"e-{index}" for index in range(5)]]
        assert inbox.most_at_once == 1

    async def test_each_gets_its_own_answers(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)
        first = await started(inbox, gathering, [event("x")])
        tasks = await waiting(gathering, [event("a"), event("x")], [event("a")], [event("b"), event("b"), event("c")])
        for _ in range(2):
            inbox.release.release()
        new, again = Acceptance.NEW, Acceptance.DUPLICATE

        assert await first == [new]
        assert await asyncio.gather(*tasks) == [[new, again], [again], [new, again, new]]

    async def test_an_error_reaches_its_batch_and_no_other(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)
        first = await started(inbox, gathering, [event("first")])
        second = await waiting(gathering, [event("a")], [event("b")])
        inbox.errors = [LedgerUnavailable("gone")]
        inbox.called.clear()
        inbox.release.release()
        with pytest.raises(LedgerUnavailable):
            await first
        await inbox.called.wait()
        third = await waiting(gathering, [event("c")])
        for _ in range(2):
            inbox.release.release()

        assert await asyncio.gather(*second, *third) == [[Acceptance.NEW]] * 3

    async def test_an_error_of_a_batch_reaches_all_of_it(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)
        first = await started(inbox, gathering, [event("first")])
        tasks = await waiting(gathering, [event("a")], [event("b")])
        inbox.release.release()
        await first
        inbox.errors = [LedgerFull("full")]
        inbox.release.release()

        found = await asyncio.gather(*tasks, return_exceptions=True)

        assert [type(each) for each in found] == [LedgerFull, LedgerFull]

    async def test_a_caller_that_is_cancelled_harms_nobody_and_takes_nothing_back(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)
        first = await started(inbox, gathering, [event("first")])
        gone, stays = await waiting(gathering, [event("gone")], [event("stays")])
        first.cancel()
        gone.cancel()
        for _ in range(3):
            inbox.release.release()

        assert await stays == [Acceptance.NEW]
        assert inbox.calls == [["first"], ["gone", "stays"]]
        assert await gathering.accept([event("gone")]) == [Acceptance.DUPLICATE]

    async def test_a_cancelled_caller_of_a_batch_that_fails_harms_nobody(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)
        first = await started(inbox, gathering, [event("first")])
        gone, stays = await waiting(gathering, [event("gone")], [event("stays")])
        gone.cancel()
        inbox.release.release()
        await first
        inbox.errors = [LedgerUnavailable("gone")]
        inbox.release.release()

        with pytest.raises(LedgerUnavailable):
            await stays

    async def test_a_call_has_so_many_events_at_most_unless_one_request_has_more(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)
        first = await started(inbox, gathering, [event("first")])
        half = GATHERED_MOST // 2
        groups = [events(half, "a"), events(half, "b"), events(1, "c"), events(GATHERED_MOST + 50, "d"), events(1, "e")]
        tasks = await waiting(gathering, *groups)
        for _ in range(9):
            inbox.release.release()
        await asyncio.gather(first, *tasks)

        assert [len(call) for call in inbox.calls] == [1, GATHERED_MOST, 1, GATHERED_MOST + 50, 1]
        assert inbox.most_at_once == 1

    async def test_many_at_once_take_few_calls(self, inbox: Inbox) -> None:
        gathering = AcceptBatcher(inbox.accept)

        await asyncio.gather(*(gathering.accept([each]) for each in events(1_000)))

        assert sum(map(len, inbox.calls)) == 1_000
        assert len(inbox.calls) <= 1 + -(-1_000 // GATHERED_MOST)


class TestIntake:
    async def test_what_is_new_is_announced_once_the_ledger_has_it(self, inbox: Inbox) -> None:
        announced: list[str] = []
        intake = EventIntake(inbox, Settings(), announced.extend)
        one, other = event("one"), event("other")

        await intake.accept([one])
        inbox.errors = [LedgerUnavailable("gone")]
        with pytest.raises(LedgerUnavailable):
            await intake.accept([other])
        await intake.accept([one, other])

        assert announced == [one.ref, other.ref]

    async def test_no_events_ask_nobody(self, inbox: Inbox) -> None:
        assert await EventIntake(inbox, Settings(), lambda refs: None).accept([]) == []
        assert inbox.calls == []

    async def test_without_a_limit_no_allowance_is_looked_at(self, inbox: Inbox) -> None:
        assert await EventIntake(inbox, Settings(), lambda refs: None).held_back(events(3)) == {}
        assert inbox.admitted == []

    async def test_each_scope_has_an_allowance_of_its_own(self, inbox: Inbox) -> None:
        intake = EventIntake(inbox, Settings(store_intake_limit=5), lambda refs: None)
        inbox.allowance = {OTHER: 0.4}

        held_back = await intake.held_back([event("a"), event("b", OTHER), event("c"), event("d", OTHER)])

        assert inbox.admitted == [(SCOPE, 2, 5), (OTHER, 2, 5)]
        assert held_back == {OTHER: 0.4}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(intake_module, "monotonic", found)
    return found


class TestPressure:
    @pytest.fixture
    def intake(self, inbox: Inbox, clock: Clock) -> EventIntake:
        return EventIntake(inbox, Settings(inbox_limit=10, inbox_max_age=60.0), lambda refs: None)

    async def refused(self, intake: EventIntake) -> str:
        with pytest.raises(ApiError) as error:
            await intake.check_pressure()
        assert error.value.status == 503
        assert int(error.value.headers["Retry-After"]) >= 1
        return str(error.value)

    async def test_what_is_within_the_limits_is_taken(self, intake: EventIntake, inbox: Inbox) -> None:
        inbox.pressures = [Pressure(10, 60.0)]

        await intake.check_pressure()

    async def test_a_full_inbox_refuses_and_says_how_full(self, intake: EventIntake, inbox: Inbox) -> None:
        inbox.pressures = [Pressure(11, 0.0)]

        assert await self.refused(intake) == "11 events wait to be observed; the limit is 10"

    async def test_an_old_inbox_refuses_and_asks_for_a_worker(self, intake: EventIntake, inbox: Inbox) -> None:
        inbox.pressures = [Pressure(1, 61.0)]

        assert "61 s" in await self.refused(intake)

    async def test_memory_above_the_high_water_mark_refuses(self, intake: EventIntake, inbox: Inbox) -> None:
        inbox.pressures = [LedgerFull("Redis at 10.0.0.7 uses 90% of its memory limit")]

        assert await self.refused(intake) == LedgerFull.public

    async def test_it_is_looked_at_once_a_second_for_all_callers(
        self, intake: EventIntake, inbox: Inbox, clock: Clock
    ) -> None:
        inbox.pressures = [Pressure(11, 0.0), Pressure(0, 0.0)]
        await asyncio.gather(*(self.refused(intake) for _ in range(5)))
        assert inbox.looks == 1

        clock.now += 0.99
        await self.refused(intake)
        clock.now += 0.01
        await intake.check_pressure()

        assert inbox.looks == 2

    async def test_a_ledger_that_does_not_answer_is_waited_for_once_and_not_by_each_in_turn(
        self, intake: EventIntake, inbox: Inbox, clock: Clock
    ) -> None:
        inbox.pressures = [LedgerUnavailable("Redis at 10.0.0.7 does not answer")]

        assert await asyncio.gather(*(self.refused(intake) for _ in range(5))) == [LedgerUnavailable.public] * 5

        assert inbox.looks == 1
        clock.now += 1.0
        await intake.check_pressure()
        assert inbox.looks == 2
