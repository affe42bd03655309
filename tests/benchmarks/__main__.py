"""What a delivery costs: the floor, the textbook and ours, in one run; and what broken receivers cost others.

    python -m tests.benchmarks [--quick] [--json FILE]

Exit codes: 0 measured, 1 deliveries were lost or the figures are worthless, 130 interrupted.
"""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import msgspec

from tests.benchmarks import backlog, everyday, isolation, sqs, stomp
from tests.benchmarks.alone import exit_code_of, heed_signals, say
from tests.benchmarks.floor import PATH as FLOOR_PATH
from tests.benchmarks.floor import Floor
from tests.benchmarks.measure import (
    Contestant,
    Medians,
    Window,
    measure,
    size_of_window,
)
from tests.benchmarks.ours import Ours, Scenario
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.registry import measure_growth
from tests.benchmarks.sink import Sink
from tests.benchmarks.table import Report, Row, document, show
from tests.benchmarks.textbook import PATH as TEXTBOOK_PATH
from tests.benchmarks.textbook import Textbook

#: How many requests the floor has under way at a time; the best is kept.
CONCURRENCIES = (50, 100, 200)


@dataclass(frozen=True, slots=True)
class Length:
    """How long everything takes: rounds, and seconds of a window, of a rehearsal and of a trial of a concurrency."""

    rounds: int
    window: float
    rehearsal: float
    trial: float
    #: Of a window where a transport is compared with what it is built on.
    transport: float
    #: Rounds with broken receivers and with a backlog, and how many jobs that has.
    isolation: int
    backlog: int
    #: Of a window of everyday load.
    everyday: float = everyday.WINDOW_SECONDS


FULL = Length(
    rounds=4,
    window=6.0,
    rehearsal=1.0,
    trial=2.0,
    transport=3.0,
    isolation=isolation.ROUNDS,
    backlog=backlog.JOBS,
    everyday=everyday.WINDOW_SECONDS,
)
QUICK = Length(rounds=2, window=2.0, rehearsal=0.5, trial=0.7, transport=1.0, isolation=1, backlog=50_000, everyday=2.0)


class Bench:
    """All contestants, started; ended in any case."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        appendfsync: str,
        changes: Mapping[str, str],
    ) -> None:
        self.sink = Sink(folder / "sink.log")
        stack.callback(self.sink.program.stop)
        self.sink.start()
        redis_servers = []
        for name in ("t", "o"):
            redis_server = PrivateRedis(folder / name, appendfsync)
            stack.callback(redis_server.program.stop)
            redis_server.start()
            redis_servers.append(redis_server)
        self.floor = Floor(self.sink.url(FLOOR_PATH), folder / "floor.log")
        stack.callback(self.floor.program.stop)
        self.textbook = Textbook(self.sink.url(TEXTBOOK_PATH), redis_servers[0], folder / "textbook.log")
        stack.callback(self.textbook.program.stop)
        ours = Ours(redis_servers[1], self.sink, folder / "ours.log", changes)
        stack.callback(ours.program.stop)
        stack.enter_context(closing(ours))
        ours.start()
        self.floor.start()
        self.scenarios = tuple(ours.scenarios())

    @property
    def contestants(self) -> Sequence[Contestant]:
        """In the table's order."""
        return (self.floor, self.textbook, *self.scenarios)

    def choose_concurrency(self, seconds: float) -> Mapping[int, float]:
        """Gives the floor the number of requests under way that costs it least; answers the rates per CPU second."""
        measure(self.floor, self.sink, self.floor.rehearsal)
        rehearsed = measure(self.floor, self.sink, self.floor.rehearsal)
        rates = {}
        for self.floor.concurrency in CONCURRENCIES:
            window = measure(self.floor, self.sink, size_of_window(rehearsed, seconds, 1))
            rates[self.floor.concurrency] = window.per_cpu_second
        self.floor.concurrency = max(rates, key=lambda each: rates[each])
        self.floor.name += f", {self.floor.concurrency} under way"
        return rates

    def play(self, length: Length) -> Mapping[str, Sequence[Window]]:
        """Every contestant in every round; the windows by contestant."""
        sizes, windows = {}, {}
        for contestant in self.contestants:
            say(f"warming up: {contestant.name}")
            # The first opens connections and imports what is imported late; the second gives an idea of the rate, and
            # the third the rate once things run.
            measure(contestant, self.sink, contestant.rehearsal)
            rehearsed = measure(contestant, self.sink, contestant.rehearsal)
            size = size_of_window(rehearsed, length.rehearsal, contestant.step)
            sizes[contestant.name] = size_of_window(
                measure(contestant, self.sink, size), length.window, contestant.step
            )
            windows[contestant.name] = list[Window]()
        for number in range(length.rounds):
            # A machine that grows slower or faster in a round does it to another one each time.
            first = number % len(self.contestants)
            for contestant in (*self.contestants[first:], *self.contestants[:first]):
                window = measure(contestant, self.sink, sizes[contestant.name])
                windows[contestant.name].append(window)
                say(
                    f"round {number + 1} of {length.rounds}: {contestant.name}: {window.deliveries:,} in "
                    f"{window.wall:.1f} s, {window.per_cpu_second:,.0f} per CPU second"
                )
        return windows


def run(length: Length, appendfsync: str, changes: Mapping[str, str]) -> Report:
    """Starts everybody, measures, and ends everybody. Raises DeliveriesLost and ProcessEnded."""
    began, machine = perf_counter(), _machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-bench-", ignore_cleanup_errors=True)))
        try:
            bench = Bench(stack, folder, appendfsync, changes)
            tried = bench.choose_concurrency(length.trial)
            windows = bench.play(length)
            rows = tuple(_row(each, windows[each.name]) for each in bench.contestants)
            say("measuring what the number of integrations costs")
            redis_server = PrivateRedis(folder / "g", appendfsync)
            stack.callback(redis_server.program.stop)
            redis_server.start()
            growth = measure_growth(redis_server)
        finally:
            # A second Ctrl-C must not leave processes behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # They are inherited: what is started from here on is to heed them.
    heed_signals()
    return Report(rows, growth, tried, perf_counter() - began, appendfsync, machine)


def _row(contestant: Contestant, windows: Sequence[Window]) -> Row:
    medians = Medians.of(windows, has_redis=contestant.redis_server is not None)
    is_target = isinstance(contestant, Scenario) and contestant.is_target
    return Row(contestant.name, medians, tuple(windows), is_target)


def _machine() -> Mapping[str, str]:
    packages = {name: version(name) for name in ("celery", "kombu", "aiohttp", "uvloop", "redis", "requests")}
    # Others at work make every figure worse, and not all by the same.
    load = f"{os.getloadavg()[0]:.2f}"
    return {"cores": str(os.cpu_count()), "load before": load, "Python": platform.python_version(), **packages}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What a delivery costs.")
    parser.add_argument("--quick", action="store_true", help="two or three minutes, and rougher")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure there too")
    parser.add_argument(
        "--appendfsync",
        choices=("everysec", "always"),
        default="everysec",
        help="of the Redis servers",
    )
    parser.add_argument(
        "--set",
        metavar="EDW_NAME=VALUE",
        action="append",
        default=[],
        help="a setting of ours; the rest is as shipped",
    )
    return parser.parse_args()


def main() -> int:
    """Answers the exit code."""
    arguments = _arguments()

    def measure() -> int:
        changes = dict(each.split("=", 1) for each in arguments.set)
        length = QUICK if arguments.quick else FULL
        report = run(length, arguments.appendfsync, changes)
        say("measuring what SQS and STOMP cost")
        transports = [*sqs.report(length.rounds, length.transport), "", *stomp.report(length.rounds, length.transport)]
        say("measuring everyday load")
        day = everyday.compare(length.rounds, length.everyday, arguments.appendfsync)
        say("measuring what broken receivers cost the others")
        isolated = isolation.compare(length.isolation)
        say("measuring what a backlog costs the others")
        beside = backlog.compare(length.isolation, jobs=length.backlog)
        show(report)
        print("", *transports, "", *day.lines(), "", *isolated.lines(), "", *beside.lines(), sep="\n")
        if arguments.json:
            isolation_found, backlog_found, day_found = asdict(isolated), asdict(beside), asdict(day)
            parts = {"isolation": isolation_found, "backlog": backlog_found, "everyday": day_found}
            found = {**document(report), **parts}
            arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
        return 1 if report.problems else 0

    return exit_code_of(measure)


if __name__ == "__main__":
    sys.exit(main())
