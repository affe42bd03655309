"""What finding the events of a resource costs among a million events.

    python -m tests.benchmarks.find [--events N] [--rounds N]

One store has N events, five of each order. `GET /v2/events` asks one `edw api` for the events of one order again and
again, with why each of the store's integrations got them or not. A time is that from the request to the last byte.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import quote

from tests.benchmarks.alone import exit_code_of, say
from tests.benchmarks.console import served
from tests.benchmarks.latency import percentile
from tests.samples import SCOPE, an_event, an_integration
from worker.domain.api_token import Role
from worker.domain.event import Event
from worker.ledger import Ledger

EVENTS = 1_000_000
EVENTS_OF_AN_ORDER = 5
INTEGRATIONS = 3
ROUNDS = 1_000
BATCH = 100
WARM_UP = 50


def _order(number: int) -> str:
    return f"o-{number // EVENTS_OF_AN_ORDER}"


def _events(start: int, stop: int) -> Sequence[Event]:
    data = (f'{{"type":"order","id":"{_order(number)}","total":{number}}}'.encode() for number in range(start, stop))
    return [an_event(f"e-{number}", data=each) for number, each in zip(range(start, stop), data, strict=True)]


async def _fill(ledger: Ledger, events: int) -> None:
    for number in range(INTEGRATIONS):
        await ledger.integrations.put(an_integration(f"i-{number}"))
    for start in range(0, events, BATCH):
        refs = [each.ref for each in _events(start, min(events, start + BATCH))]
        await ledger.inbox.accept(_events(start, min(events, start + BATCH)))
        loaded = await ledger.inbox.load(refs)
        await ledger.jobs.open(((each, (), True) for each in loaded.events), 0)


def measure(folder: Path, events: int, rounds: int) -> Sequence[float]:
    """Fill a ledger, and ask for orders; return the times (ms)."""
    with ExitStack() as stack:
        ours, port = served(stack, folder)
        say(f"accepting {events:,} events")
        ours.run(_fill(ours.ledger, events))
        headers = {"Authorization": f"Bearer {ours.token(SCOPE, Role.READ)}"}
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        stack.callback(connection.close)
        random, times = Random(7), list[float]()
        for _ in range(WARM_UP + rounds):
            wanted = quote(f"eq(resource_type,order):eq(resource_id,{_order(random.randrange(events))})")
            began = perf_counter()
            connection.request("GET", f"/v2/events?filter={wanted}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            times.append(1000 * (perf_counter() - began))
            assert answer.status == 200, body
            assert body.count(b'"sequence"') == EVENTS_OF_AN_ORDER, body
        return times[WARM_UP:]


def main() -> int:
    """Run the benchmark, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.find", description="What finding events costs.")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()

    def run() -> int:
        with TemporaryDirectory(prefix="edw") as folder:
            times = measure(Path(folder), given.events, given.rounds)
        ordered = sorted(times)
        at = ", ".join(f"p{share} {percentile(ordered, len(ordered), share / 100):.1f} ms" for share in (50, 95))
        print(f"the events of an order, among {given.events:,}: {at}")
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
