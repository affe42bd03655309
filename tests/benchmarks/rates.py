"""How exact a rate limit is: deliveries a second to receivers with a backlog, by one worker process and by two.

    python -m tests.benchmarks.rates [--rounds N] [--seconds N]

Each round starts the workers anew. All rates are measured at once, each with an integration of another store.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic_ns, sleep

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.open_loop import event_id, publish
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import Program
from tests.benchmarks.receivers import Arrival, Receivers
from worker.domain.event import Scope

RATES = (0.5, 1, 5, 10, 20, 50, 200, 500)
WORKERS = (1, 2)
ROUNDS = 3
#: Of what is measured, and before it (seconds).
WINDOW_SECONDS = 10.0
LEAD_SECONDS = 2.0
#: The aim: deliveries a second, as a part of the limit.
LEAST, MOST = 0.97, 1.03
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Rates:
    """What was delivered a second, by (rate limit, workers); and processor seconds of a worker for each second."""

    delivered: Mapping[tuple[float, int], Sequence[float]]
    cpu: Mapping[int, Sequence[float]]

    def lines(self) -> Sequence[str]:
        """For people."""
        table = ["rate limit  delivered a second by 1 worker    by 2 workers"]
        for rate in RATES:
            cells = [self._cell(rate, workers) for workers in WORKERS]
            table.append(f"{rate:>10g}  " + "    ".join(f"{cell:>28}" for cell in cells))
        used = ", ".join(f"{median(cpu):.2f} with {workers}" for workers, cpu in self.cpu.items())
        return [*table, f"aim: {LEAST} to {MOST} of the limit; processors used by all workers: {used}"]

    def _cell(self, rate: float, workers: int) -> str:
        parts = [each / rate for each in self.delivered[rate, workers]]
        missed = "" if all(LEAST <= part <= MOST for part in parts) else " MISSED"
        return f"{median(self.delivered[rate, workers]):.2f} ({min(parts):.2f} - {max(parts):.2f}){missed}"


def compare(rounds: int = ROUNDS, seconds: float = WINDOW_SECONDS) -> Rates:
    """Measure. Raises ProcessEnded."""
    delivered: dict[tuple[float, int], list[float]] = {(rate, n): [] for rate in RATES for n in WORKERS}
    cpu: dict[int, list[float]] = {n: [] for n in WORKERS}
    for number in range(rounds):
        for workers in WORKERS:
            say(f"round {number + 1} of {rounds}: {workers} worker(s)")
            rates, used = _measure(workers, seconds)
            cpu[workers].append(used)
            for rate, per_second in rates.items():
                delivered[rate, workers].append(per_second)
    return Rates(delivered, cpu)


def _measure(workers: int, seconds: float) -> tuple[Mapping[float, float], float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-rates-", ignore_cleanup_errors=True)))
        receivers, redis_server = Receivers(folder / "receivers.log"), PrivateRedis(folder / "r", "everysec")
        for program in (receivers.program, redis_server.program):
            stack.callback(program.stop)
        receivers.start()
        redis_server.start()
        ours = Installation(redis_server, folder / "worker.log", {"EDW_DRAIN_SECONDS": "0"})
        stack.enter_context(closing(ours))
        ours.connect()
        for rate in RATES:
            scope = Scope(ORG_ID, f"store-{rate:g}")
            ours.register(receivers.url(f"/notes/{rate:g}"), scope, rate_limit=rate)
            _publish(ours, OrderPaid(scope.store_id or ""), round(rate * (seconds + 4 * LEAD_SECONDS)) + 10)
        programs = _started(stack, ours, workers)
        sleep(LEAD_SECONDS)
        began, cpu = monotonic_ns(), sum(program.cpu_seconds() for program in programs)
        sleep(seconds)
        cpu = sum(program.cpu_seconds() for program in programs) - cpu
        ended = monotonic_ns()
        arrivals = receivers.arrivals(0, ended)
    return {rate: _per_second(arrivals, f"/notes/{rate:g}", began, ended) for rate in RATES}, cpu / seconds


def _started(stack: ExitStack, ours: Installation, workers: int) -> Sequence[Program]:
    ours.start_worker()
    programs = [ours.program, *(ours.start_another_worker() for _ in range(workers - 1))]
    for program in programs:
        stack.callback(program.stop)
    ours.await_worker(workers)
    return programs


def _publish(ours: Installation, order: OrderPaid, count: int) -> None:
    for first in range(0, count, _BATCH):
        publish(ours.publisher, [order.event(event_id(monotonic_ns())) for _ in range(min(_BATCH, count - first))])


def _per_second(arrivals: Sequence[Arrival], path: str, since: int, till: int) -> float:
    """Deliveries a second: from the first one in the window to the last, so that a slow rate needs no long window."""
    times = sorted(scheduled + late for found, scheduled, late in arrivals if found == path)
    times = [each for each in times if since <= each < till]
    return (len(times) - 1) / ((times[-1] - times[0]) / 1e9) if len(times) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(run_alone("rates", None, compare, ROUNDS, WINDOW_SECONDS))
