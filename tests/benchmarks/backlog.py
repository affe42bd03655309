"""What a lane with 1,000,000 due jobs costs a fresh event for another integration, in milliseconds.

    python -m tests.benchmarks.backlog [--rounds N] [--seconds S]

One worker process, as shipped, and two integrations whose receivers answer at once. One of them is owed a million
jobs, as after an outage; the other one gets 20 events a second. In each round those are measured while the backlog is
held back (its integration is paused), and while it is worked off.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import Taken, spread, take
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.open_loop import OpenLoop, Stream
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.receivers import Receivers
from tests.ledger import inspection
from tests.ledger.planting import begin_file, plant
from worker.domain.event import Scope
from worker.domain.integration import Integration

#: What must be reached: the difference of the medians (milliseconds).
TARGET_MS = 50.0

JOBS = 1_000_000
#: Events a second for the other integration.
RATE = 20.0
ROUNDS = 5
WINDOW_SECONDS = 3.0
#: Before a window (seconds).
LEAD_SECONDS = 0.5
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Round:
    """A window without the backlog, and one with it; and how many of its jobs a second were delivered meanwhile."""

    without: Taken
    beside: Taken
    drained: float

    @property
    def delay_ms(self) -> float:
        """By how much later the median event was there."""
        return (self.beside.p50 - self.without.p50) * 1e3


@dataclass(frozen=True, slots=True)
class Backlog:
    """What was found; how long planting took (seconds), and the memory of Redis then (bytes)."""

    jobs: int
    planted_in: float
    memory: int
    rounds: Sequence[Round]

    @property
    def reached(self) -> bool:
        """Whether the aim is."""
        return median(each.delay_ms for each in self.rounds) < TARGET_MS

    def lines(self) -> Sequence[str]:
        """For people."""
        without, beside = [each.without for each in self.rounds], [each.beside for each in self.rounds]

        def row(name: str, field: str) -> str:
            figures = (spread([getattr(t, field) * 1e3 for t in each], 1) for each in (without, beside))
            return f"  {name:<36} " + " ".join(f"{each:<24}" for each in figures)

        return [
            f"backlog: {self.jobs:,} due jobs in one lane (planted in {self.planted_in:.0f} s; Redis uses "
            f"{self.memory / 1e9:.1f} GB), and {RATE:g} events/s for another integration, one worker process",
            f"  {'':<36} {'held back':<24} {'worked off':<24} difference",
            row("scheduled to delivered, median (ms)", "p50")
            + f" {spread([each.delay_ms for each in self.rounds], 1)}; aim < {TARGET_MS:g}",
            row("scheduled to delivered, p95 (ms)", "p95"),
            f"  {spread([each.drained for each in self.rounds])} jobs a second of the backlog were delivered meanwhile",
            f"  aim {'reached' if self.reached else 'MISSED'}; medians of {len(self.rounds)} interleaved rounds, "
            "lowest and highest in brackets",
        ]


def compare(rounds: int = ROUNDS, seconds: float = WINDOW_SECONDS, jobs: int = JOBS) -> Backlog:
    """Measures. Raises DeliveriesLost and ProcessEnded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-backlog-", ignore_cleanup_errors=True)))
        receivers = Receivers(folder / "receivers.log")
        stack.callback(receivers.program.stop)
        receivers.start()
        # The append-only file is begun once all is planted, and not rewritten in the midst of a window.
        redis_server = PrivateRedis(
            folder / "s", "everysec", **{"appendonly": "no", "auto-aof-rewrite-percentage": "0"}
        )
        stack.callback(redis_server.program.stop)
        redis_server.start()
        ours = Installation(redis_server, folder / "ours.log", {"EDW_DRAIN_SECONDS": "0"})
        stack.enter_context(closing(ours))
        ours.connect()
        back = ours.register(receivers.url("/takes/"), Scope(ORG_ID, "back"), paused=True)
        fresh = Scope(ORG_ID, "fresh")
        ours.register(receivers.url("/notes/"), fresh)
        began = monotonic()
        ours.run(plant(ours.ledger, back, jobs))
        ours.run(begin_file(ours.ledger))
        planted_in = monotonic() - began
        memory = ours.run(inspection.used_memory(ours.ledger))
        ours.start_worker()
        stack.callback(ours.program.stop)
        ours.await_worker()
        loop = OpenLoop(ours.publisher, [Stream([OrderPaid(fresh.store_id or "")], RATE)])
        loop.feed(LEAD_SECONDS)
        found = []
        for number in range(rounds):
            windows = {}
            # A machine that grows slower in a round does it to the other one each time.
            for paused in (True, False) if number % 2 else (False, True):
                back = _hold(ours, back, paused=paused)
                loop = OpenLoop(ours.publisher, [Stream([OrderPaid(fresh.store_id or "")], RATE)])
                loop.feed(LEAD_SECONDS)
                before, since = _delivered(ours), monotonic()
                windows[paused] = take(loop, seconds, ours.program, receivers)
                drained = (_delivered(ours) - before) / (monotonic() - since) - RATE
                if not paused:
                    rate = drained
            found.append(Round(windows[True], windows[False], rate))
            say(f"round {number + 1} of {rounds}: {found[-1]}")
    return Backlog(jobs, planted_in, memory, found)


def _hold(ours: Installation, integration: Integration, *, paused: bool) -> Integration:
    """Pauses or resumes, and waits until that shows in what is under way."""
    changed = replace(integration, paused=paused)
    kept = ours.run(ours.ledger.integrations.put(changed, renewed=False)).integration
    end = monotonic() + _PATIENCE_SECONDS
    while paused == any(lane.leased for lane in ours.run(ours.ledger.status.read()).lanes if lane.due):
        if monotonic() > end:
            raise DeliveriesLost(f"the backlog was not {'held back' if paused else 'served'}\n{ours.program.tail()}")
        sleep(_LOOK_SECONDS)
    return kept


def _delivered(ours: Installation) -> int:
    return ours.run(ours.ledger.status.read()).counter("succeeded")


if __name__ == "__main__":
    sys.exit(run_alone("backlog", None, compare, ROUNDS, WINDOW_SECONDS))
