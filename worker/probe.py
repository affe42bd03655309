"""What a worker process shows of itself over HTTP: `/metrics` for Prometheus, `/healthz` for whoever restarts it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from errno import EADDRINUSE

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

_log = structlog.get_logger("edw.probe")

#: So many ports are tried, from EDW_METRICS_PORT on, until one is free.
PORTS_TRIED = 100
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
async def serving(host: str, port: int, health: Callable[[], Health] | None = None) -> AsyncIterator[None]:
    """Serves both for as long as the block runs; without `health`, the metrics alone.

    A port that is taken, by another process of ours as a rule, gives way to the next one that is free, and the log
    tells which that is. Where there is none, that is said, and stops nobody from delivering.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        assert health is not None  # noqa: S101  (without it, there is no route to here)
        now = health()
        body = msgspec.json.encode({"status": "ok" if now.well else "stale", **asdict(now)})
        return web.Response(body=body, status=200 if now.well else 503, content_type="application/json")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    if health is not None:
        app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    for candidate in range(port, min(port + PORTS_TRIED, 65_536)) if port else (0,):
        try:
            await web.TCPSite(runner, host, candidate).start()
        except OSError as error:
            problem = error
            if error.errno == EADDRINUSE:
                continue
            break
        found = runner.addresses[0][1]
        tell = _log.info if found == port or not port else _log.warning
        tell("probe", metrics=f"http://{host}:{found}/metrics")
        return
    _log.warning("no probe", why=f"{host}:{port} cannot be listened on: {problem.strerror}")
