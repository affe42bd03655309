"""Garbage in cycles does not wait for the allocations that make Python's collector look."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from kombu.message import Message

from worker.event_loop.collector import collect_regularly
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
