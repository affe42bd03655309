"""How observing stops. The ledger beside the dispatcher is a fake, which stops it in the middle of its work."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from worker.delivery.dispatcher import Dispatcher
from worker.delivery.fan_outs import LANES_PER_CHUNK
from worker.delivery.observation import LISTED_KEPT, Observation
from worker.domain.compact_id import compact_uuid
from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.stored_event import StoredEvent
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.ledger.events.inbox import LoadedEvents
from worker.ledger.lanes.claims import Opened
from worker.ledger.policy import MAX_IDS_PER_MESSAGE

#: Chunks of each event's fan-out.
CHUNKS = 4


def refs(count: int) -> list[str]:
    return [compact_uuid(UUID(int=n)) for n in range(count)]


#: Two events.
A, B = refs(2)


def event(name: str) -> StoredEvent:
    read = stored_event(b'{"type":"order.paid","data":{}}', name, Scope())
    return StoredEvent(name, read, 0)


class World:
    """A ledger, an index of integrations and deliveries; `at` is called before each step, with its name."""

    def __init__(self) -> None:
        self.inbox = self.jobs = self
        self.at: Callable[[str], None] = lambda _: None
        self.alone: set[str] = set()
        self.steps: list[str] = []
        self.loaded: list[str] = []
        self.unloaded: dict[str, bool] = {}
        self.fault: Exception | None = None
        #: Cleared, it keeps a chunk waiting before it is opened; then `waits` is set.
        self.going_on, self.waits = asyncio.Event(), asyncio.Event()
        self.going_on.set()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        self.at(name)

    async def load(self, refs: Sequence[str], *, alone: bool = False) -> LoadedEvents:
        self._step("load")
        self.loaded += refs
        put_off = () if alone else tuple(ref for ref in refs if ref in self.alone)
        events = tuple(event(ref) for ref in refs if ref not in put_off)
        return LoadedEvents(events, {Scope().key: 1}, (), put_off, ())

    async def unload(self, refs: Sequence[str], *, announce: bool) -> None:
        if isinstance(self.fault, LedgerUnavailable):
            raise self.fault
        self.unloaded |= dict.fromkeys(refs, announce)

    async def snapshot(self, scope: Scope, version: int) -> Any:
        self._step("match")
        return SimpleNamespace(newer=False, filters={}, matching=lambda _: refs(CHUNKS * LANES_PER_CHUNK))

    async def open(
        self,
        chunk: Any,
        room: int,
        limits: Mapping[str, int],
        filtered: Mapping[str, int],
        versions: Mapping[str, int],
    ) -> Opened:
        self._step("open")
        if self.fault:
            raise self.fault
        return Opened([], [])

    async def limits(self, lanes: Sequence[str]) -> Mapping[str, int]:
        self.waits.set()
        await self.going_on.wait()
        return {}

    @contextmanager
    def reserved(self, wanted: int) -> Any:
        yield 0

    def belong(self, stores: Any) -> None: ...

    def start(self, claims: Any) -> None: ...

    def serve(self, lanes: Any) -> None: ...

    def serve_later(self, lanes: Any) -> None: ...


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def dispatch(world: World) -> Dispatcher:
    anything: Any = world
    return Dispatcher(anything, anything, anything)


def stop_at(world: World, dispatch: Dispatcher, step: str, times: int) -> None:
    """Stop while the step is made for the so-many-th time."""

    def at(name: str) -> None:
        if name == step and world.steps.count(step) == times:
            dispatch.stop()

    world.at = at


async def test_what_is_not_stopped_is_observed_to_its_end(world: World, dispatch: Dispatcher) -> None:
    await dispatch.observe([A, B])
    assert world.steps == ["load", "match", "match", *["open"] * 2 * CHUNKS]
    await dispatch.leave()
    assert world.unloaded == {}


async def test_a_fan_out_stops_with_the_chunk_that_is_being_opened(world: World, dispatch: Dispatcher) -> None:
    stop_at(world, dispatch, "open", 2)
    await dispatch.observe([A, B])
    assert world.steps.count("open") == 2
    assert world.unloaded == {A: True, B: True}, "others go on with them"


async def test_matching_stops_with_the_present_event(world: World, dispatch: Dispatcher) -> None:
    stop_at(world, dispatch, "match", 3)
    await dispatch.observe(refs(10))
    assert world.steps.count("match") == 3
    assert world.steps.count("open") == 0
    assert len(world.unloaded) == 10


async def test_of_a_long_message_no_further_portion_is_loaded(world: World, dispatch: Dispatcher) -> None:
    stop_at(world, dispatch, "load", 1)
    await dispatch.observe(refs(2 * MAX_IDS_PER_MESSAGE))
    assert len(world.loaded) == MAX_IDS_PER_MESSAGE
    assert set(world.unloaded) == set(world.loaded)


async def test_a_stopped_process_loads_nothing(world: World, dispatch: Dispatcher) -> None:
    dispatch.stop()
    await dispatch.observe([A])
    assert world.steps == []


async def test_an_event_that_waits_to_be_observed_alone_is_not_observed_any_more(
    world: World, dispatch: Dispatcher
) -> None:
    world.alone = {A, B}
    stop_at(world, dispatch, "load", 2)
    await dispatch.observe([A, B])
    assert world.loaded == [A, B, A]


async def test_a_caller_that_stops_it_can_wait_until_nothing_is_observed(world: World, dispatch: Dispatcher) -> None:
    world.going_on.clear()
    observing = asyncio.create_task(dispatch.observe([A]))
    await world.waits.wait()
    dispatch.stop()
    waiting = asyncio.create_task(dispatch.wait_until_idle(600.0))
    await asyncio.wait([waiting], timeout=0.01)
    assert not waiting.done()
    world.going_on.set()
    await waiting
    assert world.steps.count("open") == 1
    await observing


async def test_the_wait_for_idle_ends_in_time(world: World, dispatch: Dispatcher) -> None:
    world.going_on.clear()
    observing = asyncio.create_task(dispatch.observe([A]))
    await world.waits.wait()
    await dispatch.wait_until_idle(0.01)
    assert not observing.done()
    observing.cancel()
    await asyncio.wait([observing])
    await dispatch.leave()
    assert world.unloaded == {A: True}, "it was cancelled while it observed"


async def test_events_of_a_call_that_failed_are_left_when_the_process_leaves(
    world: World, dispatch: Dispatcher
) -> None:
    world.fault = LedgerUnavailable("away")
    with pytest.raises(LedgerUnavailable):
        await dispatch.observe([A])
    with pytest.raises(LedgerUnavailable):
        await dispatch.leave()
    world.fault = None
    await dispatch.leave()
    assert world.unloaded == {A: True}


async def test_events_that_a_full_ledger_takes_no_jobs_of_are_left_at_once(world: World, dispatch: Dispatcher) -> None:
    world.fault = LedgerFull("full")
    with pytest.raises(LedgerFull):
        await dispatch.observe([A])
    assert world.unloaded == {A: False}, "they are not announced before their time"


async def test_a_fan_out_that_the_ledger_does_not_take_back_now_is_taken_back_later(
    world: World, dispatch: Dispatcher
) -> None:
    def at(name: str) -> None:
        if name == "match":
            dispatch.stop()
            world.fault = LedgerUnavailable("away")

    world.at = at
    await dispatch.observe([A])
    assert world.unloaded == {}
    world.fault = None
    await dispatch.leave()
    assert world.unloaded == {A: True}


async def test_failed_calls_of_a_long_outage_do_not_fill_the_memory(world: World) -> None:
    observation = Observation(world)
    observation.begin(f"e-{n}" for n in range(LISTED_KEPT + 5))
    await observation.leave()
    assert len(world.unloaded) == LISTED_KEPT
    assert "e-4" not in world.unloaded
    assert f"e-{LISTED_KEPT + 4}" in world.unloaded
