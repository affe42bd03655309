"""What 240 broken receivers cost 20 healthy ones: p95 from scheduled to delivered, and throughput.

    python -m tests.benchmarks.isolation [--rounds N]

Two installations of one worker process each, as shipped. The calm one has 20 healthy integrations; the disturbed one
has those, 200 whose receivers never answer, 20 whose receivers take 9 s, and 20 that answer 500 or refuse connections.
In both, the healthy ones are fed in an open loop at 30 % of what the calm one can deliver, and in the disturbed one
each broken integration gets an event a second beside. Each round has a window of either. The disturbed worker is
started anew in each round, and is not there while the calm one is measured. In the first round all integrations are
new; in the others it knows nothing of them, and begins with all that the broken ones are owed from before. It is
measured when the first attempts have timed out.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from math import inf
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from tempfile import TemporaryDirectory
from time import monotonic

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.isolation_report import Isolation, Round
from tests.benchmarks.latency import take
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.open_loop import Fed, OpenLoop, Stream, event_id, publish
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.receivers import Receivers
from worker.domain.event import Scope

HEALTHY = 20
#: How many of each kind of broken receivers (see receivers.py); "refused" has nobody who listens.
BROKEN: Mapping[str, int] = {"hangs": 200, "slow": 20, "refuses": 10, "refused": 10}
#: The part of the capacity that is offered to the healthy ones, and events a second for each broken one.
LOAD = 0.3
BROKEN_RATE = 1.0

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
    """An installation with its healthy integrations, without a worker yet."""

    def __init__(self, stack: ExitStack, folder: Path, name: str, receivers: Receivers) -> None:
        redis_server = PrivateRedis(folder / name, "everysec")
        stack.callback(redis_server.program.stop)
        redis_server.start()
        # What hangs when a round is over need not be waited for.
        self.ours = Installation(redis_server, folder / f"{name}.log", {"EDW_DRAIN_SECONDS": "0"})
        stack.enter_context(closing(self.ours))
        self.ours.connect()
        self._name = name
        self.healthy = [self._register(f"healthy-{n}", receivers.url(f"/notes/{name}/{n}")) for n in range(HEALTHY)]

    def register_broken(self, receivers: Receivers, dead_url: str) -> Sequence[OrderPaid]:
        """Adds the broken ones; answers whose events they get."""
        return [
            self._register(f"{kind}-{n}", dead_url if kind == "refused" else receivers.url(f"/{kind}/{n}"))
            for kind, count in BROKEN.items()
            for n in range(count)
        ]

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker that has joined the fleet; stopped in the end."""
        self.ours.start_worker()
        try:
            self.ours.await_worker()
            yield
        finally:
            self.ours.program.stop()

    def publish_to_each(self, orders: Sequence[OrderPaid], count: int) -> None:
        """Publishes so many events, to each of the orders' stores in turn, as fast as they are accepted."""
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            publish(self.ours.publisher, [orders[n % len(orders)].event(event_id(0)) for n in numbers])

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
        calm, disturbed = (Installed(stack, folder, name, good) for name in ("calm", "disturbed"))
        broken = disturbed.register_broken(bad, dead_url)
        stack.enter_context(calm.worker())
        capacity = _capacity(calm, good)
        load = LOAD * capacity
        found = []
        for number in range(rounds):
            loop = OpenLoop(calm.ours.publisher, [Stream(calm.healthy, load)])
            loop.feed(CALM_LEAD_SECONDS)
            taken = take(loop, seconds, calm.ours.program, good)
            with disturbed.worker():
                streams = [Stream(disturbed.healthy, load), Stream(broken, BROKEN_RATE * len(broken))]
                loop = OpenLoop(disturbed.ours.publisher, streams)
                served = _all_served(loop.feed(DISTURBED_LEAD_SECONDS), good)
                found.append(
                    Round(taken, take(loop, seconds, disturbed.ours.program, good), served, disturbed.under_way())
                )
            say(f"round {number + 1} of {rounds}: {found[-1]}")
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


def _all_served(fed: Fed, receivers: Receivers) -> float:
    """How long after the begin each healthy integration had had an event (seconds); for ever, where one had none."""
    firsts: dict[str, float] = {}
    for path, scheduled, late in receivers.arrivals(fed.since, fed.till):
        firsts[path] = min(firsts.get(path, inf), scheduled + late)
    return (max(firsts.values()) - fed.since) / 1e9 if len(firsts) == HEALTHY else inf


@contextmanager
def _nobody_listens() -> Iterator[str]:
    """A URL where every connection is refused, for as long as the port is kept."""
    with socket(AF_INET, SOCK_STREAM) as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}/"


if __name__ == "__main__":
    sys.exit(run_alone("isolation", None, compare, ROUNDS, WINDOW_SECONDS))
