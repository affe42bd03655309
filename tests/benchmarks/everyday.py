"""What everyday load costs: single events by HTTP, an open loop, one API and one worker.

    python -m tests.benchmarks.everyday [--rounds N] [--seconds S] [--appendfsync always] [--beside CHECKOUT]
                                        [--json FILE]

Events come in steps of 1/rate seconds. A latency counts from the time for which its event was scheduled until the
receiver has it, so a stall delays every event of its time. An event that never arrives has an infinite latency. CPU is
that of the API, of the worker and of Redis, in cores. With `--beside`, the processes of another checkout are measured
in the same rounds, with a Redis server of their own.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import msgspec

from tests.benchmarks.alone import exit_code_of, say
from tests.benchmarks.http_open_loop import HttpProducer
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import await_arrivals, percentile, spread
from tests.benchmarks.order import ORG_ID
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import Program
from tests.benchmarks.receivers import Receivers
from worker.domain.api_token import Role
from worker.domain.event import Scope

#: Events a second; 0 is the idle fleet.
RATES = (0, 20, 100, 200, 500)
ROUNDS = 5
WINDOW_SECONDS = 6.0
#: Of each rate before its window, in which connections are opened and nothing is measured (seconds).
LEAD_SECONDS = 1.0
#: As shipped, but for addresses.
_CHANGES = {"EDW_DRAIN_SECONDS": "0", "EDW_API_PORT": "0"}
_PROGRAMS = ("api", "worker", "store")


@dataclass(frozen=True, slots=True)
class EverydayWindow:
    """One window at one rate: latencies in milliseconds, and the processors that each program used."""

    p50: float
    p95: float
    p99: float
    api: float
    worker: float
    store: float


#: The windows of one contestant, by rate.
Windows = Mapping[int, Sequence[EverydayWindow]]


@dataclass(frozen=True, slots=True)
class EverydayLoad:
    """What was found."""

    appendfsync: str
    contestants: Mapping[str, Windows]

    def lines(self) -> Sequence[str]:
        """For people."""
        head = ("events/s", "p50 (ms)", "p95 (ms)", "p99 (ms)", "API (cores)", "worker (cores)", "store (cores)")
        table = [
            f"everyday load: single events by HTTP, one API and one worker, appendfsync {self.appendfsync}",
            _line(("", *head)),
        ]
        for name, windows in self.contestants.items():
            for rate, found in windows.items():
                cells = [name, f"{rate}" if rate else "idle", *(_cell(found, field) for field in _fields(rate))]
                table.append(_line(cells))
        rounds = max(len(found) for windows in self.contestants.values() for found in windows.values())
        return [*table, f"  medians of {rounds} interleaved rounds, lowest and highest in brackets"]


class EverydayContestant:
    """One API and one worker of one checkout, with a Redis server and a producer of their own."""

    def __init__(
        self, stack: ExitStack, folder: Path, appendfsync: str, receivers: Receivers, checkout: Path | None
    ) -> None:
        folder.mkdir()
        redis_server = PrivateRedis(folder / "r", appendfsync)
        stack.callback(redis_server.program.stop)
        redis_server.start()
        changes = {**_CHANGES, "EDW_DATA_DIR": str(folder / "data")}
        ours = Installation(redis_server, folder / "worker.log", changes, checkout)
        stack.enter_context(closing(ours))
        ours.connect()
        self._path, scope = f"/notes/{folder.name}", Scope(ORG_ID, "everyday")
        ours.register(receivers.url(self._path), scope)
        ours.start_worker()
        stack.callback(ours.program.stop)
        api = ours.start_api(folder / "api.log")
        stack.callback(api.stop)
        ours.await_worker()
        port, token = api.logged_port("api ready", "url"), ours.token(scope, Role.PUBLISH)
        self._producer = HttpProducer(port, token, scope.store_id or "")
        stack.enter_context(closing(self._producer))
        self._receivers = receivers
        self._programs: Sequence[Program] = (api, ours.program, redis_server.program)

    def measure(self, rate: int, seconds: float) -> EverydayWindow:
        """Measure one window. Raises DeliveriesLost and ProcessEnded."""
        if not rate:
            return EverydayWindow(0, 0, 0, *self._while_idle(seconds))
        self._producer.feed(rate, LEAD_SECONDS)
        before, began = self._cpu(), monotonic()
        fed = self._producer.feed(rate, seconds)
        arrivals = await_arrivals(fed, fed.events[0], self._receivers)
        cores = self._cores(before, began)
        latencies = sorted(late / 1e6 for path, _, late in arrivals if path == self._path)
        return EverydayWindow(*(percentile(latencies, fed.events[0], share) for share in (0.5, 0.95, 0.99)), *cores)

    def _while_idle(self, seconds: float) -> Sequence[float]:
        sleep(LEAD_SECONDS)
        before, began = self._cpu(), monotonic()
        sleep(seconds)
        return self._cores(before, began)

    def _cpu(self) -> Sequence[float]:
        return [program.cpu_seconds() for program in self._programs]

    def _cores(self, before: Sequence[float], began: float) -> Sequence[float]:
        after, seconds = self._cpu(), monotonic() - began
        for program in self._programs:
            program.check()
        return [(then - now) / seconds for then, now in zip(after, before, strict=True)]


def compare(
    rounds: int = ROUNDS,
    seconds: float = WINDOW_SECONDS,
    appendfsync: str = "everysec",
    beside: Path | None = None,
    rates: Sequence[int] = RATES,
) -> EverydayLoad:
    """Measure. Raises DeliveriesLost and ProcessEnded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-day-", ignore_cleanup_errors=True)))
        receivers = Receivers(folder / "receivers.log")
        stack.callback(receivers.program.stop)
        receivers.start()
        contestants = {"this": EverydayContestant(stack, folder / "t", appendfsync, receivers, None)}
        if beside:
            contestants["beside"] = EverydayContestant(stack, folder / "b", appendfsync, receivers, beside)
        found: dict[str, dict[int, list[EverydayWindow]]] = {name: {rate: [] for rate in rates} for name in contestants}
        for number in range(rounds):
            for rate in rates:
                for name, contestant in contestants.items():
                    window = contestant.measure(rate, seconds)
                    found[name][rate].append(window)
                    say(f"round {number + 1} of {rounds}: {name}, {rate} events/s: {_brief(window)}")
    return EverydayLoad(appendfsync, found)


def _fields(rate: int) -> Sequence[str]:
    """Return the fields of a row; an idle fleet has no latency."""
    return (*(("p50", "p95", "p99") if rate else ("", "", "")), *_PROGRAMS)


def _line(cells: Sequence[str]) -> str:
    return "  " + f"{cells[0]:<8}{cells[1]:<10}" + "".join(f"{each:<24}" for each in cells[2:])


def _cell(windows: Sequence[EverydayWindow], field: str) -> str:
    digits = 3 if field in _PROGRAMS else 1
    return spread([getattr(window, field) for window in windows], digits) if field else "-"


def _brief(window: EverydayWindow) -> str:
    return f"p50 {window.p50:.1f} ms, p99 {window.p99:.1f} ms, worker {window.worker:.3f} cores, API {window.api:.3f}"


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.everyday", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=WINDOW_SECONDS, help="of a window")
    parser.add_argument("--appendfsync", choices=("everysec", "always"), default="everysec", help="of the Redis server")
    parser.add_argument("--beside", metavar="CHECKOUT", type=Path, help="another checkout, with its .venv")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every window there too")
    given = parser.parse_args()

    def measure() -> int:
        found = compare(given.rounds, given.seconds, given.appendfsync, given.beside)
        print("\n".join(found.lines()))
        if given.json:
            given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
        return 0

    return exit_code_of(measure)


if __name__ == "__main__":
    sys.exit(main())
