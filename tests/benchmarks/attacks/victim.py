"""The store that nobody attacks: its events go in by both ways, and their deliveries are measured."""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from time import monotonic, sleep

from tests.benchmarks.attacks.payloads import EVENTS, wrapped
from tests.benchmarks.attacks.target import HOST
from tests.benchmarks.latency import GRACE_SECONDS, percentile
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.open_loop import Fed, OpenLoop, Producer, Stream
from tests.benchmarks.order import OrderPaid
from tests.benchmarks.receivers import Receivers
from worker.publisher import Receipt

#: The ways in: a Publisher of the store's own process, and the API.
DIRECT, BY_HTTP = "direct", "by-http"
#: Events a second, by each way.
RATE = 50.0
#: Another caller than the attacker, where the system has more than one loopback address.
_SOURCE = ("127.0.0.2", 0) if sys.platform == "linux" else None
#: The API is asked again for so long (seconds); an event that is late counts as late.
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Those of some windows: how long each took from when it was scheduled (seconds), and how many there should be."""

    latencies: Sequence[float]
    owed: int

    @property
    def p95(self) -> float:
        """Infinite where more than 5 % never arrived."""
        return percentile(self.latencies, self.owed, 0.95)

    def __add__(self, other: "Deliveries") -> "Deliveries":
        return Deliveries(sorted([*self.latencies, *other.latencies]), self.owed + other.owed)


#: One window, by the way in.
Window = Mapping[str, Deliveries]


class ApiProducer:
    """Publishes by HTTP over a connection that is kept."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection(HOST, port, timeout=_PATIENCE_SECONDS, source_address=_SOURCE)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def publish_many(self, events: Sequence[bytes], /) -> Sequence[Receipt]:
        """Publish, again and again where it fails: the ids stay. Raises DeliveriesLost."""
        end = monotonic() + _PATIENCE_SECONDS
        body = wrapped(b"[" + b",".join(events) + b"]")
        while not self._posted(body):
            if monotonic() > end:
                raise DeliveriesLost("the API did not take the events of another store")
            sleep(_LOOK_SECONDS)
        return [Receipt("") for _ in events]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _posted(self, body: bytes) -> bool:
        # A connection that was closed while it was idle is no fault of the API: the second try has a new one.
        for _ in range(2):
            with suppress(HTTPException, OSError):
                self._connection.request("POST", EVENTS, body, self._headers)
                answer = self._connection.getresponse()
                text = answer.read()
                if answer.status == 202:
                    return True
                if answer.status < 500:
                    raise DeliveriesLost(f"the API refused the events of another store: {text[:200]!r}")
            self._connection.close()
        return False


class Victim:
    """Its producers, and its receivers: one for each way in, at `/notes/<way>`."""

    def __init__(self, producers: Mapping[str, Producer], receivers: Receivers) -> None:
        self._producers = producers
        self._receivers = receivers

    def trade(self, seconds: float) -> Window:
        """Publish for so long, by all ways at once; answer how long the deliveries took."""
        loops = {way: OpenLoop(producer, [Stream([OrderPaid(way)], RATE)]) for way, producer in self._producers.items()}
        with ThreadPoolExecutor(len(loops)) as pool:
            feeding = {way: pool.submit(loop.feed, seconds) for way, loop in loops.items()}
            fed = {way: each.result() for way, each in feeding.items()}
        return {way: self._await(way, each) for way, each in fed.items()}

    def _await(self, way: str, fed: Fed) -> Deliveries:
        owed, end = fed.events[0], monotonic() + GRACE_SECONDS
        while True:
            arrivals = self._receivers.arrivals(fed.since, fed.till)
            late = sorted(late / 1e9 for path, _, late in arrivals if path == f"/notes/{way}")
            if len(late) >= owed or monotonic() > end:
                return Deliveries(late, owed)
            sleep(_LOOK_SECONDS)
