"""What a worker process shows of itself over HTTP.

`/metrics` is for Prometheus, `/healthz` for whoever restarts a process that hangs, and `/readyz` for whoever wants to
know whether it works, such as a rolling update that is to wait.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from worker.readiness import State
from worker.vitals import Vitals

_log = structlog.get_logger("edw.probe")


@asynccontextmanager
async def serving(host: str, port: int, vitals: Vitals) -> AsyncIterator[None]:
    """Serves them for as long as the block runs. A port that is taken is said, and stops nobody from delivering."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        health = asdict(vitals.health())
        well = health.pop("well")
        return _answer({"status": "ok" if well else "stale", **health}, ok=well)

    async def readyz(_: web.Request) -> web.Response:
        ready = vitals.ready()
        return _answer(ready, ok=ready.status is not State.RED)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        _log.info("probe", metrics=f"http://{host}:{runner.addresses[0][1]}/metrics")
    except OSError as error:
        _log.warning("no probe", why=f"{host}:{port} cannot be listened on: {error.strerror}")
    try:
        yield
    finally:
        await runner.cleanup()


def _answer(document: object, *, ok: bool) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=200 if ok else 503, content_type="application/json")
