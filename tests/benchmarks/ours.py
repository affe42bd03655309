"""Ours: `celery -A worker.app worker`, one process, as anybody would type it; and the ways to feed it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.benchmarks.installation import Installation
from tests.benchmarks.order import ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import Program
from tests.benchmarks.sink import Sink
from worker.domain.event import Scope
from worker.publisher import Receipt

#: Events that are published at once, where they are published in batches.
BATCH = 200
FAN_OUTS = (1, 5)


class Ours(Installation):
    """One worker process with its Redis server, and a producer in this process. Every scenario is a contestant."""

    def __init__(
        self,
        redis_server: PrivateRedis,
        sink: Sink,
        log: Path,
        changes: Mapping[str, str],
        checkout: Path | None = None,
    ) -> None:
        super().__init__(redis_server, log, changes, checkout)
        self._sink = sink
        self.start_worker()

    def start(self) -> None:
        """Connects the producer and registers the integrations."""
        self.connect()
        for fan_out in FAN_OUTS:
            for number in range(1, fan_out + 1):
                self.register(self._sink.url(_path(fan_out)), Scope(ORG_ID, _store_id(fan_out)), f"ERP {number}")

    def scenarios(self) -> "Iterator[Scenario]":
        """Published in batches and one by one, to one integration and to several."""
        for batch in (BATCH, 1):
            for fan_out in FAN_OUTS:
                yield Scenario(self, batch, fan_out)


class Scenario:
    """A contestant: our worker, fed in one way."""

    def __init__(self, ours: Ours, batch: int, fan_out: int) -> None:
        self.name = f"ours: {'batches' if batch > 1 else 'single events'}, fan-out {fan_out}"
        self.path = _path(fan_out)
        self.program = ours.program
        self.redis_server: Program | None = ours.redis_server.program
        self.step = batch * fan_out
        self.rehearsal = max(1500 // self.step, 1) * self.step
        self.fan_out = fan_out
        self._ours = ours
        self._batch = batch
        self._orders = OrderPaid(_store_id(fan_out))

    @property
    def is_target(self) -> bool:
        """True for the one that the target is set for."""
        return self._batch > 1 and self.fan_out == 1

    def offer(self, count: int) -> None:
        """Publishes as many events as make so many deliveries."""
        publisher, event = self._ours.publisher, self._orders.event
        events = count // self.fan_out
        if self._batch == 1:
            for _ in range(events):
                publisher.publish(event())
            return
        for first in range(0, events, self._batch):
            answers = publisher.publish_many([event() for _ in range(min(self._batch, events - first))])
            refused = [str(each) for each in answers if not isinstance(each, Receipt)]
            if refused:
                raise RuntimeError(f"an event of the benchmark was refused: {refused[0]}")

    def recorded(self) -> bool:
        """True once the ledger owes nothing."""
        return self._ours.owes_nothing()


def _path(fan_out: int) -> str:
    return f"/ours/{fan_out}"


def _store_id(fan_out: int) -> str:
    return f"bench-{fan_out}"
