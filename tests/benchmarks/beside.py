"""Two builds of this project in one run: what deliveries, accepted events and starts cost, and the ratios.

    python -m tests.benchmarks.beside CHECKOUT [--rounds N] [--seconds S]

CHECKOUT is another checkout, with its .venv. The builds take turns, window by window, each with a Redis server of its
own, so a machine that is busy otherwise slows down both. The producer is this build's.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop

from tests.benchmarks import api_intake
from tests.benchmarks.alone import exit_code_of, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.measure import Contestant, Window, measure, size_of_window
from tests.benchmarks.ours import Ours
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.sink import Sink
from tests.benchmarks.start import delivers_after, import_seconds, listens_after
from tests.counterparts.ports import free_port

ROUNDS = 7
WINDOW_SECONDS = 2.0
#: Of an API's window that does not count (seconds).
_WARM_UP_SECONDS = 1.0
_API_LOADS = ("single events, saturation", "single events, 200/s", "batches of 100")

#: The two builds: "before" is the checkout, "now" this one.
Builds = Mapping[str, Path | None]
#: The values of one row, in pairs of one round.
Values = Mapping[str, list[float]]


def turns(builds: Builds, rounds: int) -> Iterator[str]:
    """Yield the names of the builds, each once a round; the first one of a round is the second of the next."""
    names = list(builds)
    for number in range(rounds):
        yield from names if number % 2 else reversed(names)


def line(name: str, unit: str, values: Values) -> str:
    """Return a row of a table."""
    ratios = [now / before for before, now in zip(values["before"], values["now"], strict=True)]
    cells = (f"{median(values[each]):,.0f} ({min(values[each]):,.0f}) {unit}" for each in ("before", "now"))
    return f"| {name} | {' | '.join(cells)} | {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"


def deliveries(stack: ExitStack, folder: Path, builds: Builds, rounds: int, seconds: float) -> Iterator[str]:
    """Yield a row for the worker, and one for Redis, of each way to publish."""
    sink = Sink(folder / "sink.log")
    stack.callback(sink.program.stop)
    sink.start()
    contestants: dict[str, Sequence[Contestant]] = {}
    for name, checkout in builds.items():
        server = _redis(stack, folder / name[0])
        ours = Ours(server, sink, folder / f"{name}.log", {}, checkout)
        stack.callback(ours.program.stop)
        stack.enter_context(closing(ours))
        ours.start()
        contestants[name] = tuple(ours.scenarios())
    for index, scenario in enumerate(contestants["now"]):
        say(f"measuring {scenario.name}")
        count = max(_count(each[index], sink, seconds) for each in contestants.values())
        windows: dict[str, list[Window]] = {name: [] for name in builds}
        for name in turns(builds, rounds):
            windows[name].append(measure(contestants[name][index], sink, count))
        for whose, micros in (("the worker", _worker_micros), ("Redis", _redis_micros)):
            values = {name: [micros(each) for each in found] for name, found in windows.items()}
            yield line(f"{scenario.name}: {whose}", "µs", values)


def _count(contestant: Contestant, sink: Sink, seconds: float) -> int:
    measure(contestant, sink, contestant.rehearsal)
    return size_of_window(measure(contestant, sink, contestant.rehearsal), seconds, contestant.step)


def _worker_micros(window: Window) -> float:
    return 1e6 / window.per_cpu_second


def _redis_micros(window: Window) -> float:
    return 1e6 * window.redis_cpu / window.deliveries


def accepted(stack: ExitStack, folder: Path, builds: Builds, rounds: int, seconds: float) -> Iterator[str]:
    """Yield a row for each load of the API."""
    apis: dict[str, tuple[api_intake.ServedApi, str]] = {}
    for name, checkout in builds.items():
        server, port = _redis(stack, folder / f"{name[0]}a"), free_port()
        changes = {"EDW_API_PORT": str(port), "EDW_INBOX_LIMIT": "1000000000", "EDW_INBOX_MAX_AGE": "1d"}
        installation = stack.enter_context(closing(Installation(server, folder / f"{name}-a.log", changes, checkout)))
        installation.connect()
        api = api_intake.ServedApi(installation, port, folder / f"{name}-api.log")
        stack.callback(api.program.stop)
        api.await_answer()
        apis[name] = (api, server.url)
    for load in (each for each in api_intake.loads() if each.name in _API_LOADS):
        say(f"measuring {load.name}")
        micros: dict[str, list[float]] = {name: [] for name in builds}
        for api, url in apis.values():
            uvloop.run(api_intake.api_window(api, load, _WARM_UP_SECONDS, url))
        for name in turns(builds, rounds):
            api, url = apis[name]
            micros[name].append(uvloop.run(api_intake.api_window(api, load, seconds, url))[0])
        yield line(f"accepting {load.name}: the API", "µs", micros)


def starts(stack: ExitStack, folder: Path, builds: Builds, rounds: int, _: float) -> Iterator[str]:
    """Yield a row for the start of the API, of a worker and of a producer."""
    sink = Sink(folder / "started.log")
    stack.callback(sink.program.stop)
    sink.start()
    port, installations = free_port(), {}
    for name, checkout in builds.items():
        server = _redis(stack, folder / f"{name[0]}s")
        changes = {"EDW_API_PORT": str(port)}
        found = stack.enter_context(closing(Installation(server, folder / f"{name}-s.log", changes, checkout)))
        found.connect()
        installations[name] = found

    def api(of: Installation, log: Path) -> float:
        took, program = listens_after(of, port, log)
        program.stop()
        return took

    def worker(of: Installation, log: Path) -> float:
        took, program = delivers_after(of, sink, log)
        program.stop()
        return took

    steps: Mapping[str, Callable[[Installation, Path], float]] = {
        "`edw api` accepts a connection after": api,
        "`edw worker` delivers after": worker,
        "`import worker.publisher`": lambda of, _: import_seconds(of),
    }
    for step, (what, took) in enumerate(steps.items()):
        say(f"measuring {what}")
        times: dict[str, list[float]] = {name: [] for name in builds}
        for number, name in enumerate(turns(builds, rounds)):
            times[name].append(1000 * took(installations[name], folder / f"{step}-{number}-{name}.log"))
        yield line(what, "ms", times)


def _redis(stack: ExitStack, folder: Path) -> PrivateRedis:
    server = PrivateRedis(folder, "everysec")
    stack.callback(server.program.stop)
    server.start()
    return server


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.beside", description="Two builds in one run.")
    parser.add_argument("checkout", type=Path, help="another checkout, with its .venv")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=WINDOW_SECONDS, help="of a window")
    given = parser.parse_args()
    builds: Builds = {"before": given.checkout.resolve(), "now": None}

    def run() -> int:
        print("| | before: median (least) | now | now / before, in pairs |\n|---|---|---|---|")
        for part in (starts, accepted, deliveries):
            with ExitStack() as stack:
                folder = stack.enter_context(TemporaryDirectory(prefix="edw-two-", ignore_cleanup_errors=True))
                for row in part(stack, Path(folder), builds, given.rounds, given.seconds):
                    print(row, flush=True)
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
