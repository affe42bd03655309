"""Ours: `celery -A worker.app worker`, one process, as anybody would type it; and the ways to feed it."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.settings import Settings
from tests.benchmarks.order import OBSERVABLE_KEY, ORG_ID, OrderPaid
from tests.benchmarks.processes import Program
from tests.benchmarks.registration import register_webhooks
from tests.benchmarks.sink import Sink
from tests.benchmarks.store import PrivateStore
from worker.events import Scope
from worker.ledger import Ledger, LedgerPolicy
from worker.publisher import Publisher, Receipt

#: Events that are published at once, where they are published in batches.
BATCH = 200
FAN_OUTS = (1, 5)


class Ours:
    """One worker process with its store, and a producer in this process. Every scenario is a contestant."""

    def __init__(self, store: PrivateStore, sink: Sink, log: Path, changes: Mapping[str, str]) -> None:
        self.store = store
        self._sink = sink
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EDW_")}
        # Everything else is as we ship it.
        own = {"EDW_REDIS_URL": store.url, "EDW_EGRESS_ALLOW": "127.0.0.0/8", "EDW_METRICS_PORT": "0", **changes}
        self.settings = _settings(own)
        self.program = Program(
            "our worker",
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "worker.app",
                "worker",
                "--hostname",
                "ours@bench",
            ],
            log,
            kept | own,
        )
        self._runner = asyncio.Runner()
        self._publisher: Publisher | None = None
        self._ledger: Ledger | None = None

    def start(self) -> None:
        """Registers the integrations and connects the producer."""
        for fan_out in FAN_OUTS:
            url, scope = (
                self._sink.url(_path(fan_out)),
                Scope(ORG_ID, _store_id(fan_out)),
            )
            self._runner.run(register_webhooks(self.settings, url, fan_out, OBSERVABLE_KEY, scope))
        self._ledger = Ledger(self.store.url, LedgerPolicy.of(self.settings), self.settings.shard)
        self._runner.run(self._ledger.open())
        self._publisher = Publisher(self.settings)

    def close(self) -> None:
        """Ends the producer. Repeating is safe."""
        if self._publisher is not None:
            self._publisher.close()
        if self._ledger is not None:
            self._runner.run(self._ledger.close())
        self._runner.close()

    def scenarios(self) -> "Iterator[Scenario]":
        """Published in batches and one by one, to one integration and to several."""
        for batch in (BATCH, 1):
            for fan_out in FAN_OUTS:
                yield Scenario(self, batch, fan_out)

    @property
    def publisher(self) -> Publisher:
        """The producer, once started."""
        assert self._publisher is not None
        return self._publisher

    def owes_nothing(self) -> bool:
        """True where the ledger has no event and no job that is not over, and every one that ended was delivered."""
        assert self._ledger is not None
        status = self._runner.run(self._ledger.status.read())
        return status.inbox == 0 and status.pending == 0 and status.counter("succeeded") == status.counter("opened")


class Scenario:
    """A contestant: our worker, fed in one way."""

    def __init__(self, ours: Ours, batch: int, fan_out: int) -> None:
        self.name = f"ours: {'batches' if batch > 1 else 'single events'}, fan-out {fan_out}"
        self.path = _path(fan_out)
        self.program = ours.program
        self.store: Program | None = ours.store.program
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


def _settings(own: Mapping[str, str]) -> Settings:
    values: dict[str, Any] = {name.removeprefix("EDW_").lower(): value for name, value in own.items()}
    return Settings(**values)


def _path(fan_out: int) -> str:
    return f"/ours/{fan_out}"


def _store_id(fan_out: int) -> str:
    return f"bench-{fan_out}"
