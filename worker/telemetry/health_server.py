"""What a worker process shows of itself over HTTP.

`/metrics` is for Prometheus, `/healthz` for whoever restarts a process that hangs, and `/readyz` for whoever wants to
know whether it works, such as a rolling update that is to wait.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from errno import EADDRINUSE

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest

from worker.telemetry.readiness import State
from worker.telemetry.worker_health import WorkerHealth

_log = structlog.get_logger("edw.telemetry")


@asynccontextmanager
async def serving(host: str, ports: Sequence[int], worker_health: WorkerHealth | None = None) -> AsyncIterator[None]:
    """Serves them for as long as the block runs; without `worker_health`, the metrics alone.

    A port that is taken, by another process of ours as a rule, gives way to the next one that is free, and the log
    says which one. Where there is none, that is said, and stops nobody from delivering.
    """
    # When each series began, as another series: twice as many, which nobody asks for. Here, and not where metrics are
    # imported: a producer's process that only publishes has its own mind about it.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

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
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, host, ports)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, ports: Sequence[int]) -> None:
    for port in ports:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            problem = error
            if error.errno == EADDRINUSE:
                continue
            break
        found = runner.addresses[0][1]
        log = _log.info if port == ports[0] else _log.warning
        log("probe", metrics=f"http://{host}:{found}/metrics")
        return
    _log.warning("no probe", why=f"{host}:{ports[0]} cannot be listened on: {problem.strerror}")


def _answer(document: object, *, ok: bool) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=200 if ok else 503, content_type="application/json")
