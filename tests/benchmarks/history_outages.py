"""What troubles of PostgreSQL cost deliveries: p95 from scheduled to delivered, beside a worker without a history.

    python -m tests.benchmarks.history_outages [--rounds N]        a minute and a half

Two installations of one worker process each, at 100 events/s in an open loop and at the same time: one has no history,
the other has one that is healthy, away, frozen, or takes 2 s for each statement.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic, sleep

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import await_arrivals, percentile, spread
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.open_loop import OpenLoop, Stream
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.receivers import Receivers
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.proxy import TcpProxy
from worker.domain.event import Scope

RATE = 100.0
ROUNDS = 2
WINDOW_SECONDS = 8.0
#: Before each window, so that an outage is under way.
LEAD_SECONDS = 2.0
STATES = ("healthy", "away", "frozen", "slow")
SLOW_SECONDS = 2.0
#: Until all is archived after a state (seconds).
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outages:
    """p95 in seconds by state, each in windows beside those without a history."""

    off: Mapping[str, Sequence[float]]
    on: Mapping[str, Sequence[float]]

    def lines(self) -> Sequence[str]:
        """For people."""
        found = [f"p95 of deliveries at {RATE:g}/s, in ms: median (lowest - highest) of all windows"]
        for state in STATES:
            off, on = ([1000 * each for each in side[state]] for side in (self.off, self.on))
            ratio = median(on) / median(off)
            found.append(f"PostgreSQL {state}: {spread(on, 1)}, without a history {spread(off, 1)}: {ratio:.2f}")
        return found


class SlowLine(TcpProxy):
    """Leads to PostgreSQL; what clients send takes `delay` seconds."""

    delay = 0.0

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, out = await asyncio.open_connection("127.0.0.1", self.to)
            try:
                await asyncio.gather(self._lead(reader, out), _pass_on(there, writer))
            finally:
                out.close()

    async def _lead(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while content := await source.read(1_048_576):
            await asyncio.sleep(self.delay)
            sink.write(content)
        sink.close()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while content := await source.read(65_536):
        sink.write(content)
    sink.close()


def compare(rounds: int = ROUNDS, seconds: float = WINDOW_SECONDS) -> Outages:
    """Measure. Raises DeliveriesLost and ProcessEnded."""
    off: dict[str, list[float]] = {state: [] for state in STATES}
    on: dict[str, list[float]] = {state: [] for state in STATES}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-outages-", ignore_cleanup_errors=True)))
        receivers = Receivers(folder / "receivers.log")
        stack.callback(receivers.program.stop)
        receivers.start()
        postgres = stack.enter_context(PostgresServer())
        line = stack.enter_context(_line_to(postgres.port))
        url = postgres.url_at(line.port, postgres.new_database())
        without = _installed(stack, folder, "without", receivers, {})
        history = _installed(stack, folder, "history", receivers, {"EDW_HISTORY_URL": url, "EDW_LEDGER_WINDOW": "1s"})
        for number in range(rounds):
            for state in STATES:
                with _in(state, postgres, line), ThreadPoolExecutor() as threads:
                    # At the same time: whatever else the machine does, it does to both.
                    windows = [threads.submit(_p95, each, seconds, receivers) for each in (without, history)]
                off[state].append(windows[0].result())
                on[state].append(windows[1].result())
                say(f"round {number + 1} of {rounds}, {state}: {', '.join(_ms(each.result()) for each in windows)} ms")
                _await_archived(history)
    return Outages(off, on)


def _installed(
    stack: ExitStack, folder: Path, name: str, receivers: Receivers, changes: Mapping[str, str]
) -> Installation:
    redis_server = PrivateRedis(folder / name, "everysec")
    stack.callback(redis_server.program.stop)
    redis_server.start()
    made = Installation(redis_server, folder / f"{name}.log", changes)
    stack.enter_context(closing(made))
    made.connect()
    made.register(receivers.url(_path(name)), Scope(ORG_ID, name))
    made.start_worker()
    stack.callback(made.program.stop)
    made.await_worker()
    return made


def _p95(made: Installation, seconds: float, receivers: Receivers) -> float:
    name = "history" if made.settings.history_url else "without"
    loop = OpenLoop(made.publisher, [Stream([OrderPaid(name)], RATE)])
    loop.feed(LEAD_SECONDS)
    fed = loop.feed(seconds)
    made.program.check()
    # The other one has as many events.
    arrivals = await_arrivals(fed, 2 * fed.events[0], receivers)
    latencies = sorted(late / 1e9 for path, _, late in arrivals if path == _path(name))
    return percentile(latencies, fed.events[0], 0.95)


def _path(name: str) -> str:
    return f"/notes/{name}/0"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _await_archived(made: Installation) -> None:
    end = monotonic() + _PATIENCE_SECONDS
    while made.run(made.ledger.outbox.lag()).waiting:
        if monotonic() > end:
            raise DeliveriesLost(f"not all is archived within {_PATIENCE_SECONDS:g} s of the outage")
        sleep(0.1)


@contextmanager
def _in(state: str, postgres: PostgresServer, line: SlowLine) -> Iterator[None]:
    match state:
        case "away":
            postgres.kill()
        case "frozen":
            postgres.freeze()
        case "slow":
            line.delay = SLOW_SECONDS
    try:
        yield
    finally:
        line.delay = 0.0
        if state == "away":
            postgres.start()
        postgres.thaw()


@contextmanager
def _line_to(port: int) -> Iterator[SlowLine]:
    """Serve the line in a thread."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    line = SlowLine(port)
    asyncio.run_coroutine_threadsafe(line.__aenter__(), loop).result()
    try:
        yield line
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


if __name__ == "__main__":
    sys.exit(run_alone("history_outages", None, compare, ROUNDS, WINDOW_SECONDS))
