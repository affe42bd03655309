"""The HTTP endpoint of a process for metrics and, in workers, probes.

Prometheus reads `/metrics`. A supervisor reads `/healthz`, to restart a process that hangs. A rolling update reads
`/readyz`, to wait until the process works.
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

#: Scrapers and probes need few connections.
LIMITS = HttpLimits(connections=64)
#: The share of the event loop's time that formatting the metrics may take; requests for them need no token.
LARGEST_SHARE = 0.1


class Exposition:
    """The text of all metrics, cached so that formatting it takes a bounded share of the event loop's time."""

    def __init__(self, generate: Callable[[], bytes] = generate_latest, clock: Callable[[], float] = monotonic) -> None:
        self._generate = generate
        self._clock = clock
        self._text = b""
        self._good_until = -math.inf

    def text(self) -> bytes:
        """Return the metrics; requests in quick succession get the same text."""
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
    """Serve metrics, and with `worker_health` also the probes, until the block ends.

    The first free port of `ports` is used, since another process of ours often has the first one; the log says which.
    If none is free, the process logs that and works without the endpoint.
    """
    # `_created` series would double the number of series, and nobody uses them. They are disabled here and not where
    # metrics are imported, because a producer's process, which only publishes, may want its own.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client has no annotations here

    exposition = Exposition()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        assert worker_health is not None  # noqa: S101  (this route exists only with it)
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
    _log.warning("no probe", why=f"cannot listen on {host}:{ports[0]}: {problem.strerror}")


def _refused(status: int, detail: str) -> web.Response:
    return web.Response(text=f"{detail}\n", status=status)


def _answer(document: object, *, ok: bool) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=200 if ok else 503, content_type="application/json")
