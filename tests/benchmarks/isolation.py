"""What 240 broken receivers cost 20 healthy ones: p95 from scheduled to delivered, and throughput.

    python -m tests.benchmarks.isolation [--rounds N]

Two installations of one worker process each, as shipped. The calm one has 20 healthy integrations; the disturbed one
has those, 200 whose receivers never answer, 20 whose receivers take 9 s, and 20 that answer 500 or refuse connections.
In both, the healthy ones are fed in an open loop at 30 % of what the calm one can deliver, and in the disturbed one
each broken integration gets an event a second beside. Each round has a window of either. The disturbed installation
is new in each round: its worker starts with a backlog for all the broken ones, of which it knows nothing yet, and is
measured when the first attempts have timed out.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from tempfile import TemporaryDirectory
from time import monotonic

from tests.benchmarks.installation import Installation
from tests.benchmarks.isolation_report import Isolation, Round
from tests.benchmarks.latency import Taken, take
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.open_loop import OpenLoop, Stream, event_id, publish
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.receivers import Receivers
from tests.benchmarks.store import PrivateStore
from tests.benchmarks.transports import run_alone
from worker.events import Scope

HEALTHY = 20
#: How many of each kind of broken receivers (see receivers.py); "refused" has nobody who listens.
BROKEN: Mapping[str, int] = {"hangs": 200, "slow": 20, "refuses": 10, "refused": 10}
#: The part of the capacity that is offered to the healthy ones, and events a second for each broken one.
LOAD = 0.3
BROKEN_RATE = 1.0
#: Events that wait for each broken one when the disturbed worker starts.
BACKLOG = 2

ROUNDS = 5
#: Of what is measured (seconds).
WINDOW_SECONDS = 5.0
#: Before it: until the attempts that hang from the start have timed out, or until things run.
DISTURBED_LEAD_SECONDS = 12.0
CALM_LEAD_SECONDS = 2.0
#: Events of the trials of the capacity; the first one opens connections, the last one counts.
TRIALS = (2_000, 4_000, 10_000)
_BATCH = 200
_PATIENCE_SECONDS = 60.0


class Installed:
    """An installation with its healthy integrations; the worker is still to be started."""

    def __init__(self, stack: ExitStack, folder: Path, name: str, receivers: Receivers) -> None:
        store = PrivateStore(folder / name, "everysec")
        stack.callback(store.program.stop)
        store.start()
        # What hangs when a round is over need not be waited for.
        self.ours = Installation(store, folder / f"{name}.log", {"EDW_DRAIN_SECONDS": "0"})
        stack.enter_context(closing(self.ours))
        self.ours.connect()
        self._stack = stack
        self._name = name
        self._receivers = receivers
        self.healthy = [self._register(f"healthy-{n}", receivers.url(f"/notes/{name}/{n}")) for n in range(HEALTHY)]

    def register_broken(self, receivers: Receivers, dead_url: str) -> Sequence[OrderPaid]:
        """Adds the broken ones; answers whose events they get."""
        return [
            self._register(f"{kind}-{n}", dead_url if kind == "refused" else receivers.url(f"/{kind}/{n}"))
            for kind, count in BROKEN.items()
            for n in range(count)
        ]

    def start_worker(self) -> None:
        """Waits until it has joined the fleet."""
        self.ours.start_worker()
        self._stack.callback(self.ours.program.stop)
        self.ours.await_worker()

    def publish_to_each(self, orders: Sequence[OrderPaid], count: int) -> None:
        """Publishes so many events, to each of the orders' stores in turn, as fast as they are accepted."""
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            publish(self.ours.publisher, [orders[n % len(orders)].event(event_id(0)) for n in numbers])

    def take(self, loop: OpenLoop) -> Taken:
        """A window."""
        return take(loop, WINDOW_SECONDS, self.ours.program, self._receivers)

    def under_way(self) -> int:
        """Attempts that are in flight."""
        return sum(lane.leased for lane in self.ours.run(self.ours.ledger.status.read(lanes=1_000)).lanes)

    def _register(self, name: str, url: str) -> OrderPaid:
        scope = Scope(ORG_ID, f"{self._name}-{name}")
        self.ours.register(url, scope)
        return OrderPaid(scope.store_id or "")


def compare(rounds: int = ROUNDS, seconds: float = WINDOW_SECONDS) -> Isolation:
    """Measures. Raises DeliveriesLost and ProcessEnded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-isolation-", ignore_cleanup_errors=True)))
        good, bad = (Receivers(folder / f"{name}.log") for name in ("good", "bad"))
        for receivers in (good, bad):
            stack.callback(receivers.program.stop)
            receivers.start()
        dead_url = stack.enter_context(_nobody_listens())
        calm = Installed(stack, folder, "calm", good)
        calm.start_worker()
        capacity = _capacity(calm, good)
        load = LOAD * capacity
        found = []
        for number in range(rounds):
            loop = OpenLoop(calm.ours.publisher, [Stream(calm.healthy, load)])
            loop.feed(CALM_LEAD_SECONDS)
            taken = take(loop, seconds, calm.ours.program, good)
            with ExitStack() as inner:
                disturbed = Installed(inner, folder, f"d{number}", good)
                found.append(_disturb(disturbed, taken, load, seconds, bad, good, dead_url))
            print(f"round {number + 1} of {rounds}: {found[-1]}", file=sys.stderr, flush=True)
    return Isolation(HEALTHY, sum(BROKEN.values()), LOAD, capacity, found)


def _capacity(calm: Installed, receivers: Receivers) -> float:
    """Deliveries a second to the healthy ones, published in batches, as fast as they go."""
    total, rate = 0, 0.0
    for count in TRIALS:
        total += count
        began = monotonic()
        calm.publish_to_each(calm.healthy, count)
        if not receivers.await_noted(total, _PATIENCE_SECONDS):
            raise DeliveriesLost(f"not all of {count} events arrived within {_PATIENCE_SECONDS:g} s")
        rate = count / (monotonic() - began)
    return rate


def _disturb(
    world: Installed, calm: Taken, load: float, seconds: float, bad: Receivers, good: Receivers, dead_url: str
) -> Round:
    broken = world.register_broken(bad, dead_url)
    world.publish_to_each(broken, BACKLOG * len(broken))
    world.start_worker()
    loop = OpenLoop(world.ours.publisher, [Stream(world.healthy, load), Stream(broken, BROKEN_RATE * len(broken))])
    lead = loop.feed(DISTURBED_LEAD_SECONDS)
    firsts: dict[str, int] = {}
    for path, scheduled, late in good.arrivals(lead.since, lead.till):
        firsts[path] = min(firsts.get(path, scheduled + late), scheduled + late)
    if len(firsts) < HEALTHY:
        raise DeliveriesLost(f"{HEALTHY - len(firsts)} healthy integrations had nothing in {lead.seconds:g} s")
    taken = take(loop, seconds, world.ours.program, good)
    return Round(calm, taken, (max(firsts.values()) - lead.since) / 1e9, world.under_way())


@contextmanager
def _nobody_listens() -> Iterator[str]:
    """A URL where every connection is refused, for as long as the port is kept."""
    with socket(AF_INET, SOCK_STREAM) as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}/"


if __name__ == "__main__":
    sys.exit(run_alone("isolation", None, compare, ROUNDS, WINDOW_SECONDS))
