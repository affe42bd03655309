"""Turns of an event loop: what is done between two of them keeps everybody else waiting."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest


class Turns:
    """Counts what is called, by the turn of the loop in which it is."""

    def __init__(self) -> None:
        self._turn = 0
        self.calls: Counter[int] = Counter()

    def count(self, patch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
        """Have the calls of a module's function counted."""
        function = getattr(module, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[self._turn] += 1
            return function(*args, **kwargs)

        patch.setattr(module, name, counted)

    @property
    def most(self) -> int:
        """Calls of the turn that had the most."""
        return max(self.calls.values())

    async def turn(self) -> None:
        """Counts turns until it is cancelled."""
        while True:
            self._turn += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def counted_turns() -> AsyncIterator[Turns]:
    """Turns, counted as long as the block lasts."""
    turns = Turns()
    counting = asyncio.create_task(turns.turn())
    await asyncio.sleep(0)
    try:
        yield turns
    finally:
        counting.cancel()
