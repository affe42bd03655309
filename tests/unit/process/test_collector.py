"""Garbage in cycles does not wait for the allocations that make Python's collector look."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from kombu.message import Message

from tests.waiting import eventually
from worker.event_loop import collector
from worker.event_loop.cancellation import end
from worker.event_loop.collector import THRESHOLDS, attend, collect_regularly, rest_until_attended, resting
from worker.process.consumer import _problem

PATIENCE = 30.0


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is collected but on request."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Cycle:
    """Holds itself."""

    def __init__(self) -> None:
        self.itself = self


class Headers(dict[str, object]):
    """Headers whose end can be noticed."""


def _note(gone: asyncio.Event, _: object) -> None:
    gone.set()


@pytest.mark.usefixtures("no_collector")
async def test_a_cycle_is_collected_although_little_is_allocated() -> None:
    for _ in range(2):
        gone = asyncio.Event()
        kept = weakref.ref(Cycle(), partial(_note, gone))
        assert kept() is not None
        collecting = asyncio.create_task(collect_regularly(0.001))
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        collecting.cancel()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("body", ['{"a":"' + '\\"' * 1_000, "[" * 100_000, "nonsense"])
def test_a_message_that_cannot_be_decoded_is_in_no_cycle(body: str) -> None:
    def receive() -> weakref.ref[Headers]:
        headers = Headers(task="worker.tasks.observe", id="1")
        message = Message(body, content_type="application/json", content_encoding="utf-8", headers=headers)
        problem = _problem(message)
        assert problem is not None
        assert str(problem)
        return weakref.ref(headers)

    assert receive()() is None


@pytest.fixture
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


@pytest.mark.usefixtures("as_before")
async def test_the_collector_rests_for_the_start_of_a_process_and_then_looks_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector, "RELAX_SECONDS", 0.01)
    rest_until_attended()
    attending = asyncio.create_task(attend())
    await eventually(lambda: gc.isenabled() and gc.get_threshold() == THRESHOLDS, "it looks again, and rarely")
    await end([attending])


@pytest.mark.usefixtures("as_before")
async def test_a_process_that_stops_during_its_start_has_its_collector_again() -> None:
    rest_until_attended()
    attending = asyncio.create_task(attend())
    await asyncio.wait([attending], timeout=0)
    await end([attending])
    assert gc.isenabled()


@pytest.mark.usefixtures("as_before")
def test_imports_without_collections_end_with_them_even_if_they_fail() -> None:
    with resting():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), resting():
        raise ImportError
    assert gc.isenabled()
