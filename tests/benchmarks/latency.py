"""What an open loop's window shows: how late its events were, how many came in time, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from time import monotonic, sleep

from tests.benchmarks.open_loop import Fed, OpenLoop
from tests.benchmarks.processes import Program
from tests.benchmarks.receivers import Arrival, Receivers

#: What has not arrived so long after a window never did, for its figures (seconds).
GRACE_SECONDS = 5.0
#: Between two looks at what has arrived (seconds).
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Taken:
    """One window: latencies in seconds, what arrived in it each second, and the worker's CPU for each of those."""

    p50: float
    p95: float
    per_second: float
    cpu_seconds: float


def take(loop: OpenLoop, seconds: float, worker: Program, receivers: Receivers) -> Taken:
    """Feeds for so long, and looks at what comes of the first stream. Raises ProcessEnded."""
    cpu = worker.cpu_seconds()
    fed = loop.feed(seconds)
    cpu = worker.cpu_seconds() - cpu
    worker.check()
    owed = fed.events[0]
    arrivals = await_arrivals(fed, owed, receivers)
    in_time = sum(scheduled + late < fed.till for _, scheduled, late in arrivals)
    latencies = sorted(late / 1e9 for _, _, late in arrivals)
    return Taken(
        percentile(latencies, owed, 0.5),
        percentile(latencies, owed, 0.95),
        in_time / fed.seconds,
        cpu / max(1, in_time),
    )


def percentile(latencies: Sequence[float], owed: int, share: float) -> float:
    """The latency within which that share of what was owed arrived; what is missing never did."""
    at = min(owed - 1, int(share * owed))
    return latencies[at] if at < len(latencies) else inf


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median of several windows, and the lowest and the highest."""
    middle, low, high = (f"{each:,.{digits}f}" for each in (median(values), min(values), max(values)))
    return f"{middle} ({low} - {high})"


def await_arrivals(fed: Fed, owed: int, receivers: Receivers) -> Sequence[Arrival]:
    """Wait until all that was owed has arrived, for a while; return what has."""
    end = monotonic() + GRACE_SECONDS
    while True:
        arrivals = receivers.arrivals(fed.since, fed.till)
        if len(arrivals) >= owed or monotonic() > end:
            return arrivals
        sleep(_LOOK_SECONDS)
