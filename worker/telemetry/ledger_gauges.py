"""What the ledger holds, as Prometheus metrics; and samples of Redis' clock along with them.

Every process asks, and the ledger answers one of them, so that one process exposes the gauges for all. A process whose
last answer is too old exposes none. So `max by (shard)` over all processes is right at any moment, even while another
process takes over.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Protocol

import structlog
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.event_loop.cancellation import end
from worker.ledger import LedgerError
from worker.ledger.inspection.totals import LedgerTotals, Sample
from worker.telemetry.redis_clock import RedisClock

_log = structlog.get_logger("edw.telemetry")

#: A process that reads the gauges keeps others from it for so many samples, and exposes what it read for as long.
SAMPLES_HELD = 3
#: Between two samples the ledger is left alone for so many times as long as the first one took.
PAUSE_PER_SAMPLE = 4

#: A silent Redis does not keep a process from its start for longer.
FIRST_SAMPLE_SECONDS = 1.0

_EVENTS = ("accepted", "duplicates", "matched", "unmatched", "set_aside", "rejected")
_JOBS = ("opened", "reopened", "succeeded", "failed", "cancelled")


class Source(Protocol):
    """What is asked of the ledger."""

    async def sample(self, hold: float) -> Sample: ...
    async def release(self) -> None: ...


class GaugeCollector(Collector):
    """Samples the ledger every `pause` seconds, and exposes what it holds to Prometheus."""

    def __init__(self, source: Source, clock: RedisClock, shard: str, pause: float) -> None:
        self._source = source
        self._clock = clock
        self._shard = shard
        self._pause = pause
        self._hold = SAMPLES_HELD * pause
        self._gauges: LedgerTotals | None = None
        #: Until when this process exposes the gauges (a moment of perf_counter()).
        self._until = 0.0
        self._sampling: asyncio.Task[None] | None = None
        self._sampled = asyncio.Event()

    async def open(self) -> None:
        """Samples in a task of its own; the first one is waited for, but not for long."""
        REGISTRY.register(self)
        self._sampling = asyncio.create_task(self._for_ever())
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SAMPLE_SECONDS):
                await self._sampled.wait()

    async def close(self) -> None:
        """Stops sampling, and lets another process begin."""
        if self._sampling is not None:
            await end([self._sampling])
            REGISTRY.unregister(self)
        held, self._gauges = self._current, None
        if held is not None:
            try:
                await self._source.release()
            except LedgerError as error:
                _log.info("gauges not released", why=str(error))

    def describe(self) -> Iterable[Metric]:
        """Nothing: the metrics are known once there is a sample."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What the last sample says, while this process exposes it."""
        gauges = self._current
        if gauges is not None:
            yield from families(gauges, self._shard)

    @property
    def _current(self) -> LedgerTotals | None:
        return self._gauges if perf_counter() < self._until else None

    async def _for_ever(self) -> None:
        while True:
            took = await self._step()
            self._sampled.set()
            await asyncio.sleep(max(self._pause, PAUSE_PER_SAMPLE * took))

    async def _step(self) -> float:
        """Samples; answers how long that took (seconds)."""
        began = perf_counter()
        try:
            # What takes long is done less often, and held for longer.
            sample = await self._source.sample(self._hold)
        except LedgerError as error:
            _log.debug("no gauges", why=str(error))
        except Exception:  # noqa: BLE001  (a timer that dies would leave the fleet without gauges)
            _log.exception("cannot read the gauges")
        else:
            self._clock.note(sample.asked, sample.answered, sample.store_time)
            # The ledger's hold began after `asked`, so that it ends after this one.
            self._gauges, self._until = sample.gauges, sample.asked + self._hold
        took = perf_counter() - began
        self._hold = SAMPLES_HELD * max(self._pause, PAUSE_PER_SAMPLE * took)
        return took


def families(gauges: LedgerTotals, shard: str) -> Iterator[Metric]:
    """The metrics of a sample."""

    def gauge(name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("shard",))
        family.add_metric((shard,), value)
        return family

    def by_state(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("shard", label))
        for state, value in values.items():
            family.add_metric((shard, state), value)
        return family

    lanes, count = gauges.lanes, gauges.counters.get
    events = {name: count(name, 0) for name in _EVENTS} | {"inbox": gauges.inbox}
    jobs = {name: count(name, 0) for name in _JOBS} | {"pending": gauges.pending}
    circuits = {"closed": lanes.closed, "open": lanes.open, "half": lanes.half}
    yield by_state("edw_ledger_events", "Events that the ledger has counted; those in its inbox now.", "state", events)
    yield by_state("edw_ledger_jobs", "Jobs that the ledger has counted; those that are pending now.", "state", jobs)
    yield by_state("edw_lanes", "Integrations that have jobs which are not in flight, by circuit.", "circuit", circuits)
    yield gauge("edw_jobs_pending", "Jobs that are owed.", gauges.pending)
    yield gauge("edw_jobs_leased", "Jobs in flight.", gauges.leased)
    yield gauge("edw_jobs_due", "Jobs that may be tried now, and wait for a worker.", lanes.due)
    yield gauge("edw_jobs_capped", "Jobs that may be tried, of lanes at their cap.", lanes.capped)
    yield gauge(
        "edw_jobs_resting", "Due jobs behind an open circuit, or of a receiver that asked for a pause.", lanes.resting
    )
    yield gauge("edw_jobs_held", "Jobs of integrations that are disabled or paused.", lanes.held)
    yield gauge("edw_jobs_scheduled", "Jobs that are due only later.", lanes.scheduled)
    age = max(0, lanes.oldest_due) / 1000
    yield gauge("edw_oldest_due_age_seconds", "How long the oldest job that may be tried has been due.", age)
    yield gauge("edw_inbox_events", "Events that wait to be observed.", gauges.inbox)
    yield gauge("edw_inbox_age_seconds", "Age of the events that are observed next.", gauges.inbox_age / 1000)
    yield gauge("edw_rejected_kept", "Refused messages that are kept to be looked at.", gauges.rejected)
    yield gauge("edw_workers", "Worker processes whose heartbeat is within their lease.", gauges.workers)
    yield gauge("edw_redis_memory_bytes", "Memory that the ledger's Redis uses, in bytes.", gauges.memory_used)
    yield gauge(
        "edw_redis_memory_limit_bytes",
        "Memory limit of the ledger's Redis (`maxmemory`), in bytes; 0 is no limit.",
        gauges.memory_limit,
    )
