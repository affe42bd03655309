"""The deliverers of a process: made from the settings, opened when it starts, closed when it ends."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from config.settings import Settings
from deliverers.contract import Deliverer
from deliverers.registry import DelivererRegistry
from worker.delivery.deliverer_options import deliverer_options
from worker.telemetry import metrics


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
