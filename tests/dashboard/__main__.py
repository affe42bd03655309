"""A few minutes of a small deployment with a bad day, recorded as the dashboard's queries show it.

    python -m tests.dashboard RECORD.json [--minutes 4]

Two workers and the API, Redis with a memory limit, a history, eleven integrations. One receiver breaks, comes back, and
breaks again; another hangs; a worker is killed; a batch comes all at once; PostgreSQL is away for a while.
`tests.dashboard.draw` makes a picture of it.
"""

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import random
from tempfile import TemporaryDirectory
from time import time
from typing import Any
from uuid import uuid4

from aiohttp import web

from config.settings import Settings
from tests.counterparts.ports import free_port
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.prometheus import PrometheusServer
from tests.counterparts.redis_server import RedisServer
from tests.dashboard.panels import panels
from tests.fleet.producers import push_to_list
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger import Ledger
from worker.publisher import Publisher

SCOPE = Scope(None, "store-1")
KEY, HANGING_KEY, UNOBSERVED_KEY = "order.paid", "order.refunded", "order.fulfilled"
TICK_SECONDS = 0.25
WINDOW = "15s"
STEP = 2.0
#: Seconds before what is recorded, for windows to fill.
WARM_UP = 20.0
#: Events a second: on the average, and how far up and down it goes.
RATE, SWING = 18.0, 12.0
BATCH = 1_000
#: Which parts of the time the broken receiver fails.
BROKEN = ((0.2, 0.5), (0.88, 2.0))
KILLED_AT, BATCH_AT = 0.6, 0.72
#: The part of the time in which PostgreSQL is away.
AWAY = (0.25, 0.4)
#: How long a receiver takes (seconds), and how many integrations are of that kind.
RECEIVERS = {"fast": (0.004, 6), "slow": (0.12, 3), "broken": (0.01, 1), "hang": (60.0, 1)}


@dataclass
class Receivers:
    """All of them, behind one port."""

    broken: bool = False
    url: str = ""
    _runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application()
        app.router.add_post("/{kind}/{number}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        await request.read()
        await asyncio.sleep(RECEIVERS[kind][0])
        return web.Response(status=503 if kind == "broken" and self.broken else 200, text="ok")


class Deployment:
    """The processes, and their arguments."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.redis_server = stack.enter_context(RedisServer(maxmemory="256mb"))
        self.postgres = stack.enter_context(PostgresServer())
        self.environment = {
            "EDW_REDIS_URL": self.redis_server.url,
            "EDW_HISTORY_URL": self.postgres.url(self.postgres.new_database()),
            "EDW_LEDGER_WINDOW": "30s",
            "EDW_EGRESS_ALLOW": "127.0.0.0/8",
            "EDW_METRICS_SECONDS": "1s",
            "EDW_RETRY_SCHEDULE": "2s 5s 10s 20s 30s",
            "EDW_CIRCUIT_PAUSES": "5s 10s",
            "EDW_WEBHOOK_TIMEOUT": "5s",
            "EDW_LEASE_SECONDS": "5s",
            "EDW_API_PORT": str(free_port()),
        }
        self.metrics: dict[str, list[str]] = {"edw_worker": [], "edw_api": []}

    def start(self, command: str) -> "subprocess.Popen[bytes]":
        """Starts `edw worker` or `edw api`, which ends with this program."""
        port = free_port()
        self.metrics[f"edw_{command}"].append(f"127.0.0.1:{port}")
        return self.start_at(command, port)

    def start_at(self, command: str, port: int) -> "subprocess.Popen[bytes]":
        """The same, with its metrics at a port that is known."""
        with (self._folder / f"{command}-{port}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", command],
                env=os.environ | self.environment | {"EDW_METRICS_PORT": str(port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(_stop, process)
        return process


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def record(deployment: Deployment, seconds: float) -> dict[str, Any]:
    """Plays the day, and answers what the dashboard shows of it."""
    receivers = Receivers()
    await receivers.open()
    await register(deployment.redis_server.url, receivers.url)
    workers = [deployment.start("worker"), deployment.start("worker")]
    deployment.start("api")
    prometheus = PrometheusServer(deployment.metrics, interval="1s", window=WINDOW, hold="5s")
    try:
        await asyncio.to_thread(prometheus.start)
        values: dict[str, Any] = {
            name.removeprefix("EDW_").lower(): value for name, value in deployment.environment.items()
        }
        began = time()
        async with Publisher(Settings(**values)) as publisher:
            await play(deployment, receivers, publisher, workers[0], seconds)
        return await asyncio.to_thread(snapshot, prometheus, began + WARM_UP, time())
    finally:
        await asyncio.to_thread(prometheus.remove)
        await receivers.close()


async def register(redis_url: str, receivers_url: str) -> None:
    """One integration for each receiver; the one that hangs observes something of its own."""
    ledger = Ledger(redis_url)
    await ledger.open()
    for kind, (_, count) in RECEIVERS.items():
        for number in range(count):
            integration = Integration(
                id=str(uuid4()),
                scope=SCOPE,
                name=f"{kind} {number}",
                integration_type="webhook",
                observes=(HANGING_KEY if kind == "hang" else KEY,),
                configuration={"url": f"{receivers_url}/{kind}/{number}"},
            )
            await ledger.integrations.put(integration, expect=0)
    await ledger.close()


async def play(
    deployment: Deployment,
    receivers: Receivers,
    publisher: Publisher,
    victim: "subprocess.Popen[bytes]",
    seconds: float,
) -> None:
    """The day: events come in waves, and things break."""
    began = time()
    owed, killed, burst = 0.0, False, False
    while (passed := time() - began) < seconds:
        part = passed / seconds
        receivers.broken = any(start <= part < end for start, end in BROKEN)
        is_away = AWAY[0] <= part < AWAY[1]
        if is_away is deployment.postgres.running:
            await asyncio.to_thread(deployment.postgres.kill if is_away else deployment.postgres.start)
        if part > KILLED_AT and not killed:
            killed = True
            victim.kill()
            deployment.start_at("worker", int(deployment.metrics["edw_worker"][0].rpartition(":")[2]))
        if part > BATCH_AT and not burst:
            burst = True
            await publisher.apublish_many([an_event(KEY) for _ in range(BATCH)])
        owed += TICK_SECONDS * (RATE + SWING * math.sin(passed / 12))
        await publisher.apublish_many([an_event(KEY) for _ in range(int(owed))])
        owed -= int(owed)
        if random() < TICK_SECONDS / 2:
            # One in two seconds each, by other ingresses; a few of them nobody observes, or they are no events at all.
            await publisher.apublish(an_event(HANGING_KEY if random() < 0.8 else UNOBSERVED_KEY))
            other = an_event(KEY) if random() < 0.8 else {"type": "nonsense"}
            push_to_list(deployment.redis_server.url, json.dumps(other))
        await asyncio.sleep(TICK_SECONDS)


def an_event(key: str) -> dict[str, Any]:
    """A small event."""
    return {"type": key, "store_id": SCOPE.store_id, "data": {"type": "order", "id": str(uuid4())}}


def snapshot(prometheus: PrometheusServer, start: float, end: float) -> dict[str, Any]:
    """Every panel's series over the time; a query without any is an error of the dashboard, or of the day."""
    shown: dict[str, Any] = {}
    for panel in panels():
        shown[panel.title] = [
            [
                {"name": query.name(each["metric"]), "values": [[at, float(value)] for at, value in each["values"]]}
                for each in prometheus.query_range(query.over(WINDOW), start, end, STEP)
            ]
            for query in panel.queries
        ]
        if panel.queries and not all(shown[panel.title]):
            print(f"nothing to show: {panel.title}", file=sys.stderr)
    return {"start": start, "end": end, "panels": shown}


def main() -> None:
    """Plays, and writes what was recorded."""
    parser = argparse.ArgumentParser(prog="python -m tests.dashboard", description="Records the dashboard's queries.")
    parser.add_argument("record", type=Path, help="the file to write (JSON)")
    parser.add_argument("--minutes", type=float, default=4.0, help="how long the day takes")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-dashboard-")))
        found = asyncio.run(record(Deployment(stack, folder), arguments.minutes * 60))
    arguments.record.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
