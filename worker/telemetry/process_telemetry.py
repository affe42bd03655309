"""The telemetry of a running process: its HTTP endpoint, the ledger's gauges and the lag of its event loop."""

import asyncio
from contextlib import AsyncExitStack

from config.settings import Settings
from worker.event_loop.cancellation import end
from worker.http_server.limits import descriptor_limit, metrics_limits
from worker.ledger import Ledger
from worker.telemetry import metrics
from worker.telemetry.attendance import Attendance
from worker.telemetry.ledger_gauges import GaugeCollector
from worker.telemetry.loop_lag import LoopLag
from worker.telemetry.redis_clock import RedisClock
from worker.telemetry.worker_health import WorkerHealth


class Telemetry:
    """The telemetry of a worker process or of an API process."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._settings = settings
        #: Unknown until the ledger has answered for the first time.
        self.clock = RedisClock()
        self._gauges = GaugeCollector(ledger.totals, self.clock, settings.shard, settings.metrics_seconds)
        self._membership = ledger.membership
        self._stack = AsyncExitStack()

    async def open(self, worker_health: WorkerHealth | None = None) -> None:
        """Start on the running loop, even if the ledger does not answer; probes report `worker_health`."""
        # aiohttp's server takes a tenth of a second to import, and everything else is imported before the process runs.
        from worker.telemetry.health_server import serving

        metrics.build_info()
        settings = self._settings
        limits = metrics_limits(settings, descriptor_limit())
        await self._stack.enter_async_context(serving(settings.api_host, settings.metrics_ports, worker_health, limits))
        lag = LoopLag()
        attendance = Attendance(self._membership, "api" if worker_health is None else "worker", lag)
        attendance.open()
        self._stack.push_async_callback(attendance.close)
        await self._gauges.open()
        self._stack.push_async_callback(self._gauges.close)
        watch = asyncio.create_task(lag.watch())
        self._stack.push_async_callback(end, [watch])

    async def close(self) -> None:
        """Stop; does nothing if it has not started."""
        await self._stack.aclose()
