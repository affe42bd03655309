"""The deliverers of a process: made from the settings, opened when it starts, closed when it ends."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from config.settings import Settings
from deliverers.contract import Deliverer
from deliverers.registry import DelivererRegistry
from worker.delivery.deliverer_options import deliverer_options
from worker.telemetry import metrics


class LateDeliverers:
    """The deliverers of a process that listens before it opens them."""

    def __init__(self, settings: Settings, types: DelivererRegistry) -> None:
        self._settings = settings
        self._types = types
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        #: By type; empty until open().
        self.by_type: dict[str, Deliverer] = {}

    async def open(self) -> None:
        """Open them, unless they are open. Raises OSError if the file with extra authorities cannot be used."""
        async with self._opening:
            if not self.by_type:
                opened = await self._stack.enter_async_context(opened_deliverers(self._settings, self._types))
                self.by_type.update(opened)

    async def close(self) -> None:
        """Close them; does nothing if they were never opened."""
        await self._stack.aclose()


@asynccontextmanager
async def opened_deliverers(settings: Settings, types: DelivererRegistry) -> AsyncIterator[Mapping[str, Deliverer]]:
    """Open a deliverer for each `integration_type` while the block runs; yield them by type."""
    options = deliverer_options(settings)
    async with AsyncExitStack() as stack:
        deliverers: dict[str, Deliverer] = {}
        for kind in types.types:
            deliverer = types.create(kind, replace(options, dialled=metrics.dial_counter(kind)))
            # Before it is opened: if open() fails half-way, there is something to close as well.
            stack.push_async_callback(deliverer.close)
            await deliverer.open()
            deliverers[kind] = deliverer
        yield deliverers
