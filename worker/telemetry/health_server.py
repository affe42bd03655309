"""What a worker process shows of itself over HTTP.

`/metrics` is for Prometheus, `/healthz` for whoever restarts a process that hangs, and `/readyz` for whoever wants to
know whether it works, such as a rolling update that is to wait.
"""

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from errno import EADDRINUSE
from time import monotonic

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest

from worker.http_server.limits import HttpLimits
from worker.http_server.site import HttpSite
from worker.telemetry.metrics import observe_http
from worker.telemetry.readiness import State
from worker.telemetry.worker_health import WorkerHealth

_log = structlog.get_logger("edw.telemetry")

#: Scrapers and probes are few, and read quickly.
LIMITS = HttpLimits(connections=64)
#: The share of the event loop's time that making the text of the metrics may take: anybody may ask for it.
LARGEST_SHARE = 0.1


class Exposition:
    """The text of all metrics, made again only as often as it costs the event loop a small share of its time."""

    def __init__(self, generate: Callable[[], bytes] = generate_latest, clock: Callable[[], float] = monotonic) -> None:
        self._generate = generate
        self._clock = clock
        self._text = b""
        self._good_until = -math.inf

    def text(self) -> bytes:
        """Return the metrics; many who ask at once have the same."""
        began = self._clock()
        if began >= self._good_until:
            self._text = self._generate()
            ended = self._clock()
            self._good_until = ended + (ended - began) * (1 / LARGEST_SHARE - 1)
        return self._text


@asynccontextmanager
async def serving(
    host: str, ports: Sequence[int], worker_health: WorkerHealth | None = None, limits: HttpLimits = LIMITS
) -> AsyncIterator[None]:
    """Serves them for as long as the block runs; without `worker_health`, the metrics alone.

    A port that is taken, by another process of ours as a rule, gives way to the next one that is free, and the log
    says which one. Where there is none, that is said, and stops nobody from delivering.
    """
    # When each series began, as another series: twice as many, which nobody asks for. Here, and not where metrics are
    # imported: a producer's process that only publishes has its own mind about it.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

    exposition = Exposition()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        assert worker_health is not None  # noqa: S101  (without it, there is no route to here)
        health = asdict(worker_health.health())
        well = health.pop("well")
        return _answer({"status": "ok" if well else "stale", **health}, ok=well)

    async def readyz(_: web.Request) -> web.Response:
        assert worker_health is not None  # noqa: S101  (as above)
        ready = worker_health.ready()
        return _answer(ready, ok=ready.status is not State.RED)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    if worker_health is not None:
        app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    site = HttpSite("metrics", app, limits, _refused, observe_http)
    await site.open()
    try:
        await _listen(site, host, ports)
        yield
    finally:
        await site.close()


async def _listen(site: HttpSite, host: str, ports: Sequence[int]) -> None:
    for port in ports:
        try:
            await site.listen(host, port)
        except OSError as error:
            problem = error
            if error.errno == EADDRINUSE:
                continue
            break
        found = site.addresses[0][1]
        log = _log.info if port == ports[0] else _log.warning
        log("probe", metrics=f"http://{host}:{found}/metrics")
        return
    _log.warning("no probe", why=f"{host}:{ports[0]} cannot be listened on: {problem.strerror}")


def _refused(status: int, detail: str) -> web.Response:
    return web.Response(text=f"{detail}\n", status=status)


def _answer(document: object, *, ok: bool) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=200 if ok else 503, content_type="application/json")
