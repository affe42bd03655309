"""What many lanes cost: 10,000 due jobs after a restart, in 10,000 lanes and in 20, to receivers that take 100 ms.

    python -m tests.benchmarks.many_lanes [--rounds N]

The jobs are due before the worker starts, and it knows nothing of their lanes. The integrations belong to 20 stores.
The rate counts from the first arrival to the last one; the worker's CPU counts from when it has joined the fleet.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, monotonic_ns

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.order import OBSERVABLE_KEY, ORG_ID
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.receivers import Receivers
from tests.ledger.planting import plant_across
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger import Ledger

JOBS = 10_000
#: In how many lanes they are; the first is what the second is compared with.
FEW, MANY = 20, 10_000
STORES = 20
ROUNDS = 1
#: The aim: many lanes may cost so many times what few cost.
AIM = 1.3
_PATIENCE_SECONDS = 300.0
#: Integrations that are registered at a time.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Drained:
    """Deliveries a second, and milliseconds of the worker's CPU for each."""

    per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class ManyLanes:
    """The rounds, by the number of lanes."""

    rounds: Mapping[int, Sequence[Drained]]

    def lines(self) -> Sequence[str]:
        """For people."""
        rate = {lanes: median(each.per_second for each in found) for lanes, found in self.rounds.items()}
        cpu = {lanes: median(each.cpu_ms for each in found) for lanes, found in self.rounds.items()}
        slower, dearer = rate[FEW] / rate[MANY], cpu[MANY] / cpu[FEW]
        verdict = "reached" if max(slower, dearer) <= AIM else "MISSED"
        return [
            *(f"{n:>6,} lanes: {rate[n]:,.0f} deliveries/s, {cpu[n]:.2f} ms of CPU each" for n in self.rounds),
            f"many lanes are {slower:.2f} times slower and cost {dearer:.2f} times the CPU; aim {AIM}: {verdict}",
        ]


def compare(rounds: int = ROUNDS, seconds: float = _PATIENCE_SECONDS) -> ManyLanes:
    """Measure; a trial may take `seconds`. Raises DeliveriesLost and ProcessEnded."""
    found: dict[int, list[Drained]] = {FEW: [], MANY: []}
    for number in range(rounds):
        for lanes, drained in found.items():
            drained.append(_drain(lanes, seconds))
            say(f"round {number + 1} of {rounds}: {lanes:,} lanes: {drained[-1]}")
    return ManyLanes(found)


def _drain(lanes: int, seconds: float) -> Drained:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-lanes-", ignore_cleanup_errors=True)))
        receivers, redis_server = Receivers(folder / "receivers.log"), PrivateRedis(folder / "r", "everysec")
        for program in (receivers.program, redis_server.program):
            stack.callback(program.stop)
        receivers.start()
        redis_server.start()
        ours = Installation(redis_server, folder / "worker.log", {"EDW_DRAIN_SECONDS": "0"})
        stack.enter_context(closing(ours))
        ours.connect()
        integrations = ours.run(_register(ours.ledger, receivers, lanes))
        ours.run(plant_across(ours.ledger, integrations, JOBS))
        ours.start_worker()
        stack.callback(ours.program.stop)
        ours.await_worker()
        began, cpu = monotonic(), ours.program.cpu_seconds()
        if not receivers.await_noted(JOBS, seconds):
            raise DeliveriesLost(f"not all of {JOBS} jobs in {lanes} lanes arrived within {seconds:g} s")
        while not ours.owes_nothing():
            ours.program.check()
            if monotonic() > began + seconds:
                raise DeliveriesLost(f"all of {JOBS} jobs arrived, but not all are settled after {seconds:g} s")
        cpu = ours.program.cpu_seconds() - cpu
        times = sorted(scheduled + late for _, scheduled, late in receivers.arrivals(0, monotonic_ns()))
    return Drained(len(times) / ((times[-1] - times[0]) / 1e9), cpu * 1000 / len(times))


async def _register(ledger: Ledger, receivers: Receivers, lanes: int) -> Sequence[Integration]:
    integrations = [
        Integration(
            id=f"lane-{number}",
            scope=Scope(ORG_ID, f"store-{number % STORES}"),
            name="ERP",
            integration_type="webhook",
            observes=(OBSERVABLE_KEY,),
            configuration={"url": receivers.url("/pauses/100")},
        )
        for number in range(lanes)
    ]
    for first in range(0, lanes, _AT_ONCE):
        await asyncio.gather(
            *(ledger.integrations.put(each, expect=0) for each in integrations[first : first + _AT_ONCE])
        )
    return integrations


if __name__ == "__main__":
    sys.exit(run_alone("many_lanes", None, compare, ROUNDS, _PATIENCE_SECONDS))
