"""What a store's load costs another store: B's latency while A publishes to many integrations, or large events.

    python -m tests.benchmarks.fairness [--rounds N] [--seconds N]

Store B publishes 10 events a second to one healthy webhook, in an open loop. Store A's events match 5,000 integrations
each, whose receiver answers at once; its large events match one. A publishes nothing, an event every 10 s, every 3 s or
every second (more than can be delivered), or 50 large events a second. Each row has an installation of its own, with
one worker process and with two.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import GRACE_SECONDS, percentile
from tests.benchmarks.open_loop import OpenLoop, Stream
from tests.benchmarks.order import OBSERVABLE_KEY, ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.receivers import Receivers
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger import Ledger

FAN_OUT = 5_000
LARGE_BYTES = 1_000_000
#: B's events a second.
RATE = 10.0
WORKERS = (1, 2)
ROUNDS = 1
WINDOW_SECONDS = 24.0
LEAD_SECONDS = 3.0
#: The aim: B's latency is at most so many times, or so much more (seconds), than alone.
TIMES, MORE_SECONDS = 1.5, 0.020
#: Integrations that are registered at a time.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Load:
    """What store A publishes: events a second, each to so many integrations."""

    name: str
    rate: float
    fan_out: int = FAN_OUT
    size: int = 0


LOADS = (
    Load("nothing", 0.0, 0),
    Load("one every 10 s", 0.1),
    Load("one every 3 s", 1 / 3),
    Load("one every second", 1.0),
    Load("50 of 1 MB a second", 50.0, 1, LARGE_BYTES),
)


@dataclass(frozen=True, slots=True)
class Beside:
    """B's latency (seconds) and deliveries a second, and A's deliveries a second."""

    p50: float
    p95: float
    per_second: float
    others_per_second: float


_FIELDS = ("p50", "p95", "per_second", "others_per_second")


@dataclass(frozen=True, slots=True)
class Fairness:
    """The rounds, by (load, workers)."""

    found: Mapping[tuple[str, int], Sequence[Beside]]

    def lines(self) -> Sequence[str]:
        """For people."""
        lines = [f"{'A publishes':<22}workers  B's p50 / p95 (ms)      B's events/s  A's deliveries/s"]
        for (name, workers), rounds in self.found.items():
            p50, p95 = (median(getattr(each, field) for each in rounds) for field in ("p50", "p95"))
            own, others = (
                median(getattr(each, field) for each in rounds) for field in ("per_second", "others_per_second")
            )
            alone = self.found[LOADS[0].name, workers]
            fine = all(
                value <= max(TIMES * base, base + MORE_SECONDS)
                for value, base in ((p50, median(x.p50 for x in alone)), (p95, median(x.p95 for x in alone)))
            )
            lines.append(
                f"{name:<22}{workers:>7}  {p50 * 1000:>8,.1f} / {p95 * 1000:<10,.1f}{'' if fine else 'MISSED':<6}"
                f"{own:>10.1f}  {others:>16,.0f}"
            )
        return lines


def compare(rounds: int = ROUNDS, seconds: float = WINDOW_SECONDS) -> Fairness:
    """Measure. Raises ProcessEnded."""
    found: dict[tuple[str, int], list[Beside]] = {(load.name, n): [] for n in WORKERS for load in LOADS}
    for number in range(rounds):
        for workers in WORKERS:
            for load in LOADS:
                beside = _measure(load, workers, seconds)
                found[load.name, workers].append(beside)
                say(f"round {number + 1} of {rounds}: {load.name}, {workers} worker(s): {beside}")
    return Fairness(found)


def _measure(load: Load, workers: int, seconds: float) -> Beside:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-fair-", ignore_cleanup_errors=True)))
        mine, others = (Receivers(folder / f"{name}.log") for name in ("b", "a"))
        redis_server = PrivateRedis(folder / "r", "everysec")
        for program in (mine.program, others.program, redis_server.program):
            stack.callback(program.stop)
        mine.start()
        others.start()
        redis_server.start()
        changes = {"EDW_DRAIN_SECONDS": "0", "EDW_STORE_INTEGRATIONS": str(2 * FAN_OUT)}
        ours = Installation(redis_server, folder / "worker.log", changes)
        stack.enter_context(closing(ours))
        ours.connect()
        ours.register(mine.url("/notes/b"), Scope(ORG_ID, "b"))
        ours.run(_register(ours.ledger, others.url("/takes/a"), load.fan_out))
        ours.start_worker()
        for program in (ours.program, *(ours.start_another_worker() for _ in range(workers - 1))):
            stack.callback(program.stop)
        ours.await_worker(workers)
        streams = [Stream([OrderPaid("b")], RATE)]
        if load.rate:
            streams.append(Stream([OrderPaid("a", load.size)], load.rate))
        loop = OpenLoop(ours.publisher, streams)
        loop.feed(LEAD_SECONDS)
        before = _succeeded(ours)
        fed = loop.feed(seconds)
        delivered = _succeeded(ours) - before
        ours.program.check()
        mine.await_noted(round(RATE * (LEAD_SECONDS + seconds)), GRACE_SECONDS)
        arrivals = mine.arrivals(fed.since, fed.till)
        latencies = sorted(late / 1e9 for _, _, late in arrivals)
        in_time = sum(scheduled + late < fed.till for _, scheduled, late in arrivals)
        p50, p95 = (percentile(latencies, fed.events[0], share) for share in (0.5, 0.95))
    return Beside(p50, p95, in_time / fed.seconds, (delivered - in_time) / fed.seconds)


def _succeeded(ours: Installation) -> int:
    return ours.run(ours.ledger.status.read()).counter("succeeded")


async def _register(ledger: Ledger, url: str, count: int) -> None:
    integrations = [
        Integration(
            id=f"a-{number}",
            scope=Scope(ORG_ID, "a"),
            name="ERP",
            integration_type="webhook",
            observes=(OBSERVABLE_KEY,),
            configuration={"url": url},
        )
        for number in range(count)
    ]
    for first in range(0, count, _AT_ONCE):
        await asyncio.gather(
            *(ledger.integrations.put(each, expect=0) for each in integrations[first : first + _AT_ONCE])
        )


if __name__ == "__main__":
    sys.exit(run_alone("fairness", None, compare, ROUNDS, WINDOW_SECONDS))
