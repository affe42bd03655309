"""The opener: small fan-outs pass a large one, none is opened in part and forgotten, and a stop ends it soon."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest

from worker.delivery.fair_opener import CALLS_AT_ONCE, STORE_WAITING, FairOpener
from worker.delivery.fan_outs import LANES_PER_CHUNK, FanOut, FanOutPart
from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.stored_event import StoredEvent
from worker.ledger import LedgerUnavailable

task: ContextVar[str] = ContextVar("task", default="")


def fan_out(name: str, count: int, store: str = "s") -> FanOut:
    event = stored_event(b'{"type":"order.paid","data":{}}', name, Scope("o", store))
    return FanOut(StoredEvent(event.ref, event, 0), [f"{name}-{n}" for n in range(count)], count)


@dataclass
class Ledger:
    """A ledger that opens a chunk whenever the test lets it."""

    chunks: list[Sequence[FanOutPart]] = field(default_factory=list)
    answers: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)
    under_way: int = 0
    most_under_way: int = 0
    fault: Exception | None = None
    bad: set[str] = field(default_factory=set)
    stopped: bool = False

    async def open(self, chunk: Sequence[FanOutPart]) -> set[FanOut]:
        self.chunks.append(chunk)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await self.answers.get()
        self.under_way -= 1
        if self.fault:
            raise self.fault
        return {each.fan_out for each in chunk if each.fan_out.stored.event.id in self.bad}

    def answer(self, times: int = 1) -> None:
        for _ in range(times):
            self.answers.put_nowait(None)

    def opened(self, name: str) -> int:
        return sum(
            len(each.integration_ids) for chunk in self.chunks for each in chunk if each.fan_out.stored.event.id == name
        )


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def opener(ledger: Ledger) -> FairOpener:
    return FairOpener(ledger.open, lambda: ledger.stopped)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_fan_out_is_opened_chunk_by_chunk_each_job_once(ledger: Ledger, opener: FairOpener) -> None:
    ledger.answer(100)
    found = await opener.open([fan_out("a", 4 * LANES_PER_CHUNK + 1)])
    assert not found.failed
    assert not found.put_off
    assert len(ledger.chunks) == 5
    assert [chunk[0].last for chunk in ledger.chunks] == [False] * 4 + [True]
    assert ledger.opened("a") == 4 * LANES_PER_CHUNK + 1
    assert ledger.most_under_way == 1


async def test_several_fan_outs_of_a_store_have_a_few_calls_under_way(ledger: Ledger, opener: FairOpener) -> None:
    observer = asyncio.create_task(opener.open([fan_out(str(n), 3 * LANES_PER_CHUNK) for n in range(5)]))
    await settle()
    ledger.answer(100)
    await observer
    assert ledger.most_under_way == CALLS_AT_ONCE


async def test_a_small_fan_out_of_another_observer_passes_a_large_one(ledger: Ledger, opener: FairOpener) -> None:
    large = asyncio.create_task(opener.open([fan_out("large", 100 * LANES_PER_CHUNK, "a")]))
    await settle()
    small = asyncio.create_task(opener.open([fan_out("small", 1, "b")]))
    await settle()
    ledger.answer(2)
    assert not (await small).failed
    assert ledger.opened("large") <= 3 * LANES_PER_CHUNK
    assert not large.done()
    ledger.answer(200)
    await large


async def test_a_fan_out_that_cannot_be_opened_is_given_up_and_the_others_go_on(
    ledger: Ledger, opener: FairOpener
) -> None:
    ledger.bad = {"bad"}
    ledger.answer(100)
    bad, good = fan_out("bad", 3 * LANES_PER_CHUNK), fan_out("good", 3 * LANES_PER_CHUNK)
    found = await opener.open([bad, good])
    assert found.failed == {bad}
    assert ledger.opened("good") == 3 * LANES_PER_CHUNK
    assert ledger.opened("bad") <= LANES_PER_CHUNK


async def test_while_the_ledger_is_away_all_observers_give_up(ledger: Ledger, opener: FairOpener) -> None:
    ledger.fault = LedgerUnavailable("away")
    observers = [
        asyncio.create_task(opener.open([fan_out(store, 100 * LANES_PER_CHUNK, store)])) for store in ("a", "b", "c")
    ]
    await settle()
    calls = len(ledger.chunks)
    ledger.answer(calls)
    found = await asyncio.gather(*observers, return_exceptions=True)
    assert all(isinstance(each, LedgerUnavailable) for each in found)
    assert len(ledger.chunks) <= calls + 1

    ledger.fault = None
    ledger.answer(10)
    assert not (await opener.open([fan_out("later", 1)])).failed


async def test_a_process_that_stops_opens_no_further_chunk(ledger: Ledger, opener: FairOpener) -> None:
    large, small = fan_out("large", 10 * LANES_PER_CHUNK), fan_out("small", 1)
    observer = asyncio.create_task(opener.open([large]))
    await settle()
    ledger.stopped = True
    ledger.answer()
    assert (await observer).put_off == {large}
    assert (await opener.open([small])).put_off == {small}
    assert len(ledger.chunks) == 1


async def test_what_a_cancelled_observer_waited_for_is_not_opened_any_more(ledger: Ledger, opener: FairOpener) -> None:
    observer = asyncio.create_task(opener.open([fan_out("large", 10 * LANES_PER_CHUNK)]))
    await settle()
    observer.cancel()
    await asyncio.gather(observer, return_exceptions=True)
    ledger.answer(100)
    assert not (await opener.open([fan_out("small", 1)])).failed
    assert ledger.opened("large") == LANES_PER_CHUNK


async def test_a_bug_reaches_the_observers_of_its_chunk_only(ledger: Ledger, opener: FairOpener) -> None:
    ledger.fault = ValueError("a bug")
    ledger.answer()
    with pytest.raises(ValueError, match="a bug"):
        await opener.open([fan_out("a", 1)])
    ledger.fault = None
    ledger.answer()
    assert not (await opener.open([fan_out("b", 1)])).failed


async def test_a_fan_out_keeps_the_context_of_its_observer() -> None:
    task.set("first")
    first = fan_out("a", 1)
    task.set("second")
    assert first.context[task] == "first"
    assert fan_out("b", 1).context[task] == "second"


async def test_events_of_a_store_that_has_enough_waiting_stay_in_the_inbox(ledger: Ledger, opener: FairOpener) -> None:
    first = asyncio.create_task(opener.open([fan_out("large", STORE_WAITING + 1, "a")]))
    await settle()
    more = fan_out("more", 1, "a")
    assert (await opener.open([more])).put_off == {more}
    other = asyncio.create_task(opener.open([fan_out("other", 1, "b")]))
    ledger.answer(200)
    assert not (await other).put_off
    assert not (await first).put_off
    assert not (await opener.open([more])).put_off
    assert ledger.opened("more") == 1
