"""Work in steps: what runs beside it gets its turn."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from worker.event_loop import pacing
from worker.event_loop.pacing import STEP_BYTES, STEP_PARTS, paced


async def steps_of(parts: Sequence[Any]) -> list[list[Any]]:
    """The parts, grouped by the turns that somebody else has meanwhile."""
    groups: list[list[Any]] = [[]]
    done = False

    async def beside() -> None:
        while not done:
            await asyncio.sleep(0)
            groups.append([])

    other = asyncio.create_task(beside())
    await asyncio.sleep(0)
    async for part in paced(parts):
        groups[-1].append(part)
    done = True
    await other
    return [group for group in groups if group]


@pytest.mark.parametrize(
    "parts", [[], [b""], [b"a"] * 1_000, [{}] * 1_000, [b"a" * 10_000] * 200, [b"a" * STEP_BYTES * 2]]
)
async def test_every_part_comes_once_and_in_order(parts: list[Any]) -> None:
    assert [part async for part in paced(parts)] == parts


async def test_a_step_has_so_many_parts_at_most() -> None:
    steps = await steps_of(list(range(1_000)))
    assert max(map(len, steps)) <= STEP_PARTS
    assert len(steps) >= 1_000 / STEP_PARTS


async def test_a_step_has_so_many_bytes_at_most_or_one_part() -> None:
    parts = [b"a" * size for size in (STEP_BYTES - 1, 1, 1, STEP_BYTES * 3, 1, STEP_BYTES, 5)]
    for step in await steps_of(parts):
        assert len(step) == 1 or sum(map(len, step)) <= STEP_BYTES


async def test_other_parts_are_measured_by_what_is_said_of_them() -> None:
    taken = [part async for part in paced([3, 1, 2], lambda part: part * pacing.STEP_BYTES)]
    assert taken == [3, 1, 2]
