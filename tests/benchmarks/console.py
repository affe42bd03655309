"""What the console costs: the time of each page on a full ledger, and what ten open consoles cost deliveries.

    python -m tests.benchmarks.console [--rounds N] [--integrations N] [--jobs N] [--only pages|deliveries]

*Pages:* one `edw api` on a ledger with 10,000 integrations of one store and a million due jobs; a thousand receivers
fail. One visitor opens each page again and again; a time is that from the request to the last byte of the page.

*Deliveries:* one API and one worker, 100 events/s by HTTP in an open loop; in every second window, ten visitors have
the console open, and each page asks for itself every 5 s as a browser's does. Both kinds of window alternate.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter, sleep
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import UUID

from tests.benchmarks.alone import exit_code_of, say
from tests.benchmarks.http_open_loop import HttpProducer
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import await_arrivals, percentile, spread
from tests.benchmarks.order import ORG_ID
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.receivers import Receivers
from tests.ledger.planting import plant_activity, plant_over_lanes
from tests.ledger.scene import settlement
from tests.samples import SCOPE, an_integration
from worker.domain.api_token import Role, Token, TokenKind, digest_of, make_secret, new_id, written
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger import Ledger, Verdict

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as EventType

INTEGRATIONS = 10_000
JOBS = 1_000_000
FAILING = 1_000
#: Integrations with attempts in each of the last hours.
ACTIVE = 60
ROUNDS = 40
#: Requests of each page that do not count: the first ones import, and read the store's integrations.
WARM_UP = 2

CONSOLES = 10
#: Seconds between two refreshes of a console, as of console.js.
REFRESH_SECONDS = 5.0
RATE = 100
#: Before the windows, and before each window's consoles have signed in (seconds).
LEAD_SECONDS = 6.0
WINDOW_SECONDS = 10.0
WINDOWS = 6

_AT = urlencode({"org": SCOPE.org_id or "", "store": SCOPE.store_id or ""})


def lane(number: int) -> str:
    """The id of an integration."""
    return str(UUID(int=0xB0_0000_0000_4000_8000_0000_0000_0000 + number))


@dataclass
class Browser:
    """A visitor with a session, on one connection."""

    port: int
    _cookie: str = ""
    _connection: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

    def sign_in(self, token: str) -> None:
        """Open a session."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        self._connection.request("POST", "/console/sign-in", urlencode({"token": token}), headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 303, answer.status
        self._cookie = answer.headers["Set-Cookie"].partition(";")[0]

    def open(self, path: str) -> float:
        """Return the time until a whole page was there (seconds)."""
        began = perf_counter()
        self._connection.request("GET", f"/console{path}", headers={"Cookie": self._cookie})
        answer = self._connection.getresponse()
        answer.read()
        took = perf_counter() - began
        assert answer.status == 200, (path, answer.status)
        return took

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def pages(integrations: int) -> Mapping[str, str]:
    """The pages that are measured, with what an operator sees of the store."""
    own, event = lane(integrations // 2), "/events/backlog-7"
    found = {
        "Now": "/now",
        "a reason": "/failing?reason=answered+500",
        "Stores": "/stores",
        "Integrations": "/integrations",
        "Integrations, failing": "/integrations?state=failing",
        "Integrations, healthy, a late page": "/integrations?state=healthy&offset=5000",
        "Integrations, by name": "/integrations?sort=name&offset=2000",
        "Integrations, most owed": "/integrations?sort=owed",
        "Integrations, lowest success": "/integrations?sort=rate",
        "Integrations, by host": "/integrations?q=shop-77.example",
        "Search for a host": "/search?q=shop-7",
        "an integration": f"/integrations/{own}",
        "its attempts": f"/integrations/{lane(1)}?tab=attempts",
        "its changes": f"/integrations/{own}?tab=changes",
        "Events": "/events",
        "order o-1": "/events?type=order&id=o-1",
        "an event": event,
        "Attempts": "/attempts",
        "Audit": "/audit",
        "Processes": "/fleet",
        "Tokens": "/tokens",
    }
    return {name: path + ("&" if "?" in path else "?") + _AT for name, path in found.items()}


@dataclass(frozen=True, slots=True)
class PageTimes:
    """The times of each page (seconds)."""

    times: Mapping[str, Sequence[float]]

    def lines(self) -> Sequence[str]:
        """For people."""
        every = [each for times in self.times.values() for each in times]
        rows = [*self.times.items(), ("**all**", every)]
        return [
            "| page | p50 (ms) | p95 (ms) |",
            "|---|---|---|",
            *(f"| {name} | {_share(times, 0.5):.1f} | {_share(times, 0.95):.1f} |" for name, times in rows),
        ]


@dataclass(frozen=True, slots=True)
class BesideConsoles:
    """The p95 of deliveries (ms) in windows without and with open consoles."""

    alone: Sequence[float]
    beside: Sequence[float]

    def lines(self) -> Sequence[str]:
        """For people."""
        ratio = median(self.beside) / median(self.alone)
        return [
            f"deliveries' p95 at {RATE} events/s: {spread(self.alone, 1)} ms without consoles,",
            f"  {spread(self.beside, 1)} ms beside {CONSOLES} open ones: {ratio:.2f} times",
        ]


def _share(times: Sequence[float], share: float) -> float:
    return 1000 * sorted(times)[min(len(times) - 1, int(share * len(times)))]


def operators_token(ours: Installation) -> str:
    """Put an operator's token into the ledger; return it as people enter it."""
    token_id, secret = new_id(), make_secret()
    token = Token(token_id, TokenKind.OPERATOR, Role.ADMIN, Scope(), False, "bench", digest_of(secret), operator=True)
    ours.run(ours.ledger.tokens.put(token))
    return written(token_id, secret)


def measure_pages(folder: Path, rounds: int, integrations: int, jobs: int) -> PageTimes:
    """Fill a ledger, and open each page `rounds` times, in a random order."""
    with ExitStack() as stack:
        ours, port = served(stack, folder)
        say(f"planting {integrations:,} integrations and {jobs:,} due jobs")
        ours.run(fill(ours.ledger, integrations, jobs))
        visitor = Browser(port)
        stack.callback(visitor.close)
        visitor.sign_in(operators_token(ours))
        paths = pages(integrations)
        for _ in range(WARM_UP):
            for path in paths.values():
                visitor.open(path)
        times: dict[str, list[float]] = {name: [] for name in paths}
        random = Random(7)
        say("opening pages")
        for _ in range(rounds):
            for name in random.sample(list(paths), len(paths)):
                times[name].append(visitor.open(paths[name]))
        return PageTimes(times)


def served(stack: ExitStack, folder: Path) -> tuple[Installation, int]:
    """Start Redis and the API; return the installation and the API's port."""
    redis_server = PrivateRedis(folder / "r", "everysec")
    stack.callback(redis_server.program.stop)
    redis_server.start()
    changes = {"EDW_API_PORT": "0", "EDW_DATA_DIR": str(folder / "data"), "EDW_STORE_INTEGRATIONS": "0"}
    ours = Installation(redis_server, folder / "worker.log", changes | {"EDW_DRAIN_SECONDS": "0"})
    stack.enter_context(closing(ours))
    ours.connect()
    api = ours.start_api(folder / "api.log")
    stack.callback(api.stop)
    return ours, api.logged_port("api ready", "url")


async def fill(ledger: Ledger, integrations: int, jobs: int) -> None:
    """Write integrations and due jobs; then have some attempts fail."""
    for start in range(0, integrations, 100):
        numbers = range(start, min(integrations, start + 100))
        await asyncio.gather(*(ledger.integrations.put(_made(number)) for number in numbers))
    await plant_over_lanes(ledger, jobs, integrations, lane)
    lanes = [lane(number) for number in range(min(FAILING, integrations))]
    for start in range(0, len(lanes), 50):
        for claim in (await ledger.jobs.claim(lanes[start : start + 50], 50)).claims:
            why = "answered 500 Internal Server Error"
            failed = settlement(claim, Verdict.RETRY, delay=3_600, detail=why, healthy=False, why=why)
            await ledger.jobs.settle([failed])
    for number in range(min(ACTIVE, integrations)):
        await plant_activity(ledger, lane(number), [(40, number % 5)] * 24)


def _made(number: int) -> Integration:
    url = f"https://shop-{number}.example/hooks/orders"
    return an_integration(lane(number), name=f"Shop {number}", configuration={"url": url})


def measure_deliveries(folder: Path, windows: int) -> BesideConsoles:
    """Measure deliveries, in turn without and with open consoles."""
    with ExitStack() as stack:
        receivers = Receivers(folder / "receivers.log")
        stack.callback(receivers.program.stop)
        receivers.start()
        ours, port = served(stack, folder)
        scope = Scope(ORG_ID, "beside-consoles")
        ours.register(receivers.url("/notes/beside"), scope)
        ours.start_worker()
        stack.callback(ours.program.stop)
        ours.await_worker()
        producer = HttpProducer(port, ours.token(scope, Role.PUBLISH), scope.store_id or "")
        stack.enter_context(closing(producer))
        token = operators_token(ours)
        found: dict[bool, list[float]] = {False: [], True: []}
        # The first page imports the console; that is measured by nobody.
        with consoles(port, token, scope):
            sleep(LEAD_SECONDS)
            producer.feed(RATE, 2.0)
        for number in range(2 * windows):
            with_consoles = bool(number % 2)
            with consoles(port, token, scope) if with_consoles else ExitStack():
                sleep(LEAD_SECONDS)
                fed = producer.feed(RATE, WINDOW_SECONDS)
                arrivals = await_arrivals(fed, fed.events[0], receivers)
            latencies = sorted(late / 1e6 for _, _, late in arrivals)
            found[with_consoles].append(percentile(latencies, fed.events[0], 0.95))
        return BesideConsoles(found[False], found[True])


@contextmanager
def consoles(port: int, token: str, scope: Scope) -> Iterator[None]:
    """Have CONSOLES consoles open, each on a page that refreshes itself, until the end of the block."""
    spawning = get_context("spawn")
    # In a process of their own, so that they do not delay the producer.
    over = spawning.Event()
    visitors = spawning.Process(target=watch_all, args=(port, token, scope, over))
    visitors.start()
    try:
        yield
    finally:
        over.set()
        visitors.join()


def watch_all(port: int, token: str, scope: Scope, over: "EventType") -> None:
    """Have CONSOLES pages open until the event `over`."""
    at = urlencode({"org": scope.org_id or "", "store": scope.store_id or ""})
    paths = ("/now", f"/integrations?{at}", f"/attempts?{at}", f"/events?{at}")
    threads = [Thread(target=watch, args=(port, token, number, paths, over)) for number in range(CONSOLES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def watch(port: int, token: str, number: int, paths: Sequence[str], over: "EventType") -> None:
    """Have one page open until the event `over`."""
    with closing(Browser(port)) as visitor:
        visitor.sign_in(token)
        over.wait(REFRESH_SECONDS * number / CONSOLES)
        while not over.is_set():
            visitor.open(paths[number % len(paths)])
            over.wait(REFRESH_SECONDS)


def main() -> int:
    """Run the benchmark, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.console", description="What the console costs.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="requests of each page")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="of deliveries, of each kind")
    parser.add_argument("--integrations", type=int, default=INTEGRATIONS)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--only", choices=["pages", "deliveries"])
    given = parser.parse_args()

    def measure() -> int:
        with TemporaryDirectory(prefix="edw") as folder:
            for part in ("p", "d"):
                (Path(folder) / part).mkdir()
            if given.only != "deliveries":
                found = measure_pages(Path(folder) / "p", given.rounds, given.integrations, given.jobs)
                print("\n".join(found.lines()), flush=True)
            if given.only != "pages":
                print("\n".join(measure_deliveries(Path(folder) / "d", given.windows).lines()))
        return 0

    return exit_code_of(measure)


if __name__ == "__main__":
    sys.exit(main())
