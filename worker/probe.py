"""What a worker process shows of itself over HTTP: `/metrics` for Prometheus, `/healthz` for whoever restarts it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

_log = structlog.get_logger("edw.probe")

#: A worker whose last sweep is older than this many seconds is not well.
STALE_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """How a worker process is; durations in seconds."""

    last_sweep_age: float
    in_flight: int
    draining: bool

    @property
    def well(self) -> bool:
        """False where the sweeps have stopped: the ledger is away, or the loop hangs."""
        return self.last_sweep_age < STALE_SWEEP_SECONDS


@asynccontextmanager
async def serving(host: str, port: int, health: Callable[[], Health]) -> AsyncIterator[None]:
    """Serves both for as long as the block runs. A port that is taken is said, and stops nobody from delivering."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        now = health()
        body = msgspec.json.encode({"status": "ok" if now.well else "stale", **asdict(now)})
        return web.Response(body=body, status=200 if now.well else 503, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
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
