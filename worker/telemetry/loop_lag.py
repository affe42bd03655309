"""The lag of the event loop: by how much its timers are late."""

import asyncio
from collections import deque
from time import perf_counter

from worker.telemetry import metrics

#: Seconds between two measurements.
TICK_SECONDS = 0.25
#: Measurements of which the worst one is remembered: ten seconds.
TICKS = 40


class LoopLag:
    """Measures the lag of the running loop, for metrics and for the page of processes."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=TICKS)

    @property
    def worst(self) -> float:
        """The longest delay of the last ten seconds (seconds); 0 before the first measurement."""
        return max(self._last, default=0.0)

    def note(self, delay: float) -> None:
        """Note one measurement (seconds)."""
        metrics.LOOP_LAG.observe(delay)
        self._last.append(delay)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            began = perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.note(max(0.0, perf_counter() - began - TICK_SECONDS))
