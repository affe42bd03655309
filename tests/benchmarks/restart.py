"""How long a killed worker's events wait: the only worker is killed with `kill -9`, and started again.

    python -m tests.benchmarks.restart [--rounds N] [--rate N] [--stores N] [--answer-ms N] [--down S]
                                        [--elsewhere]

One worker process, as shipped, delivers events of some stores at a steady rate to receivers that take a while to
answer. It is killed, and a new one is started after a while. Measured is the time from that start until every event has
been delivered that was published before it. With `--elsewhere` the new worker runs in a PID namespace of its own, as in
another container, so it cannot know that the old one is dead (needs util-linux's `unshare`).

Exit codes: 0 measured, 1 events were lost, 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, monotonic_ns, sleep

from tests.benchmarks.alone import exit_code_of, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import spread
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.open_loop import OpenLoop, Stream
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import Program
from tests.benchmarks.receivers import Receivers
from worker.domain.event import Scope

ROUNDS = 3
RATE = 200.0
STORES = 4
ANSWER_MS = 300
DOWN_SECONDS = 2.0
#: The load runs this long before the kill, and in steps of this length after the restart (seconds).
LEAD_SECONDS = 5.0
STEP_SECONDS = 0.25
#: An event that has not arrived this long after the restart is lost (seconds).
PATIENCE_SECONDS = 90.0
#: A PID namespace of its own, with a /proc of its own.
ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True, slots=True)
class Restarted:
    """One restart; `in_flight` attempts were leased to the worker when it was killed, `late` events had to wait.

    `all_delivered` is the time from the start of the new worker until the last of them arrived (seconds).
    """

    all_delivered: float
    late: int
    in_flight: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Restarts:
    """Several rounds."""

    rounds: Sequence[Restarted]

    def lines(self) -> Sequence[str]:
        """Return the figures as text."""
        of = self.rounds
        return [
            f"all delivered after the restart   {spread([each.all_delivered for each in of], 2)} s",
            f"events that had to wait           {spread([each.late for each in of])}",
            f"in flight at the kill             {spread([each.in_flight for each in of])}",
            f"duplicates                        {spread([each.duplicates for each in of])}",
        ]


def measure_restart(rate: float, stores: int, answer_ms: int, down: float, *, elsewhere: bool) -> Restarted:
    """Measure one restart. Raises DeliveriesLost and ProcessEnded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-restart-", ignore_cleanup_errors=True)))
        receivers = Receivers(folder / "receivers.log")
        stack.callback(receivers.program.stop)
        receivers.start()
        redis_server = PrivateRedis(folder / "redis", "everysec")
        stack.callback(redis_server.program.stop)
        redis_server.start()
        # At the end, nothing that is in flight need be waited for.
        ours = stack.enter_context(closing(Installation(redis_server, folder / "1.log", {"EDW_DRAIN_SECONDS": "0"})))
        ours.connect()
        names = [f"restart-{number}" for number in range(stores)]
        for name in names:
            ours.register(receivers.url(f"/pauses/{answer_ms}"), Scope(ORG_ID, name))
        ours.start_worker()
        stack.callback(lambda: ours.program.stop())
        ours.await_worker()
        loop = OpenLoop(ours.publisher, [Stream([OrderPaid(name) for name in names], rate)])
        fed = loop.feed(LEAD_SECONDS)
        ours.program.check()
        ours.program.kill()
        in_flight = sum(lane.leased for lane in ours.run(ours.ledger.status.read(lanes=1_000)).lanes)
        owed = fed.events[0] + loop.feed(down).events[0]
        restarted = monotonic_ns()
        _start_another(ours, folder / "2.log", elsewhere=elsewhere)
        arrivals = receivers.arrivals(fed.since, restarted)
        while len(arrivals) < owed:
            if (monotonic_ns() - restarted) / 1e9 > PATIENCE_SECONDS:
                raise DeliveriesLost(f"{owed - len(arrivals)} of {owed} events did not arrive")
            loop.feed(STEP_SECONDS)
            ours.program.check()
            arrivals = receivers.arrivals(fed.since, restarted)
        late = [scheduled + late - restarted for _, scheduled, late in arrivals if scheduled + late > restarted]
        _await_nothing_owed(ours)
        return Restarted(max(late, default=0) / 1e9, len(late), in_flight, receivers.repeats())


def _await_nothing_owed(ours: Installation) -> None:
    """Wait until attempts that were lost have been made again: they are the duplicates."""
    end = monotonic() + PATIENCE_SECONDS
    while not ours.owes_nothing():
        if monotonic() > end:
            raise DeliveriesLost(f"the ledger still owes deliveries after {PATIENCE_SECONDS:g} s")
        sleep(STEP_SECONDS)


def _start_another(ours: Installation, log: Path, *, elsewhere: bool) -> None:
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--hostname", "again@bench"]
    ours.program = Program("the new worker", [*(ELSEWHERE if elsewhere else ()), *command], log, ours.environment)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.restart", description="How long a killed worker's events wait."
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rate", type=float, default=RATE, help="events a second")
    parser.add_argument("--stores", type=int, default=STORES, help="each with an integration of its own")
    parser.add_argument("--answer-ms", type=int, default=ANSWER_MS, help="milliseconds that the receiver takes")
    parser.add_argument("--down", type=float, default=DOWN_SECONDS, help="seconds until the restart")
    parser.add_argument("--elsewhere", action="store_true", help="restart in another PID namespace")
    return parser.parse_args()


def main() -> int:
    """Return the exit code."""
    arguments = _arguments()

    def measure() -> int:
        rounds: list[Restarted] = []
        for number in range(arguments.rounds):
            what = (arguments.rate, arguments.stores, arguments.answer_ms, arguments.down)
            rounds.append(measure_restart(*what, elsewhere=arguments.elsewhere))
            say(f"round {number + 1} of {arguments.rounds}: {rounds[-1]}")
        print("\n".join(Restarts(rounds).lines()))
        return 0

    say(f"load before: {os.getloadavg()[0]:.2f}")
    return exit_code_of(measure)


if __name__ == "__main__":
    sys.exit(main())
