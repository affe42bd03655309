"""The ledger's totals as Prometheus gauges; each sample also measures Redis' clock.

Every process asks for the totals, but the ledger gives them to one process only, which exposes them for all. A process
whose last sample is too old exposes none. `max by (shard)` over all processes is therefore always right, even while
another process takes over.
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

#: Sample intervals for which a process that got the totals excludes other processes and exposes the totals.
SAMPLES_HELD = 3
#: The pause after a sample, in multiples of the time that it took.
PAUSE_PER_SAMPLE = 4

#: Seconds that the start of a process waits for the first sample, if Redis is silent.
FIRST_SAMPLE_SECONDS = 1.0

_EVENTS = ("accepted", "duplicates", "matched", "unmatched", "filtered", "set_aside", "rejected")
_JOBS = ("opened", "reopened", "succeeded", "failed", "cancelled")


class Source(Protocol):
    """The part of the ledger that reports its totals."""

    async def sample(self, hold: float) -> Sample: ...
    async def release(self) -> None: ...


class GaugeCollector(Collector):
    """A Prometheus collector that samples the ledger every `pause` seconds."""

    def __init__(self, source: Source, clock: RedisClock, shard: str, pause: float) -> None:
        self._source = source
        self._clock = clock
        self._shard = shard
        self._pause = pause
        self._hold = SAMPLES_HELD * pause
        self._gauges: LedgerTotals | None = None
        #: The end of the time in which this process exposes the gauges (by `perf_counter()`).
        self._until = 0.0
        self._sampling: asyncio.Task[None] | None = None
        self._sampled = asyncio.Event()

    async def open(self) -> None:
        """Start sampling in a task; wait up to FIRST_SAMPLE_SECONDS for the first sample."""
        REGISTRY.register(self)
        self._sampling = asyncio.create_task(self._for_ever())
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SAMPLE_SECONDS):
                await self._sampled.wait()

    async def close(self) -> None:
        """Stop sampling, and let another process take over."""
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
        """Return nothing, since the metrics are unknown before the first sample."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the last sample, while this process exposes them."""
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
        """Take a sample; return how long that took (seconds)."""
        began = perf_counter()
        try:
            # A slow sample is taken less often, so it is held for longer.
            sample = await self._source.sample(self._hold)
        except LedgerError as error:
            _log.debug("no gauges", why=str(error))
        except Exception:  # noqa: BLE001  (a timer that dies would leave the fleet without gauges)
            _log.exception("cannot read the gauges")
        else:
            self._clock.note(sample.asked, sample.answered, sample.redis_time)
            # The ledger's hold began after `asked`, so it ends after ours.
            self._gauges, self._until = sample.gauges, sample.asked + self._hold
        took = perf_counter() - began
        self._hold = SAMPLES_HELD * max(self._pause, PAUSE_PER_SAMPLE * took)
        return took


def families(gauges: LedgerTotals, shard: str) -> Iterator[Metric]:
    """Yield the metrics of a sample."""

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
    yield by_state(
        "edw_ledger_events",
        "Events that the ledger has counted; `inbox`: those in it now.",
        "state",
        events,
    )
    yield by_state("edw_ledger_jobs", "Jobs that the ledger has counted; `pending`: those pending now.", "state", jobs)
    yield by_state("edw_lanes", "Integrations with jobs that are not in flight, by circuit.", "circuit", circuits)
    yield gauge("edw_jobs_pending", "Jobs that have not ended.", gauges.pending)
    yield gauge("edw_jobs_leased", "Jobs in flight.", gauges.leased)
    yield gauge("edw_jobs_due", "Due jobs that wait only for a worker.", lanes.due)
    yield gauge("edw_jobs_capped", "Due jobs of lanes that are at their cap of jobs in flight.", lanes.capped)
    yield gauge(
        "edw_jobs_resting", "Due jobs behind an open circuit, or of a receiver that asked for a pause.", lanes.resting
    )
    yield gauge("edw_jobs_held", "Jobs of integrations that are disabled or paused.", lanes.held)
    yield gauge("edw_jobs_scheduled", "Jobs that become due later.", lanes.scheduled)
    age = max(0, lanes.oldest_due) / 1000
    yield gauge(
        "edw_oldest_due_age_seconds",
        "Time since the oldest job that waits only for a worker became due.",
        age,
    )
    yield gauge("edw_inbox_events", "Events that wait to be observed.", gauges.inbox)
    yield gauge("edw_inbox_age_seconds", "Age of the next event to be observed, in seconds.", gauges.inbox_age / 1000)
    yield gauge("edw_rejected_kept", "Refused messages in the rejected list.", gauges.rejected)
    yield gauge("edw_workers", "Worker processes whose last heartbeat is no older than a lease.", gauges.workers)
    yield gauge(
        "edw_backlog_memory_bytes", "Memory that the due jobs of all lanes and their events take.", gauges.backlog_bytes
    )
    yield gauge(
        "edw_backlog_memory_limit_bytes",
        "Memory that they may take: EDW_BACKLOG_MEMORY of Redis's; 0 is no limit.",
        gauges.backlog_limit,
    )
    yield gauge(
        "edw_history_lag_seconds",
        "Time for which the oldest record has waited to be archived; 0 without a history.",
        gauges.outbox.lag / 1000,
    )
    yield gauge(
        "edw_history_waiting",
        "Jobs, events, logs and records of the audit that wait to be archived.",
        gauges.outbox.waiting,
    )
    yield gauge(
        "edw_history_kept", "Jobs, events and logs that are archived, and in the ledger still.", gauges.outbox.kept
    )
    yield gauge(
        "edw_history_audit_lost",
        "Records of the audit that the ledger's bounds dropped before they were archived.",
        gauges.outbox.lost,
    )
    yield gauge("edw_redis_memory_bytes", "Memory that the ledger's Redis uses, in bytes.", gauges.memory_used)
    yield gauge(
        "edw_redis_memory_limit_bytes",
        "Memory limit of the ledger's Redis (`maxmemory`), in bytes; 0 is no limit.",
        gauges.memory_limit,
    )
