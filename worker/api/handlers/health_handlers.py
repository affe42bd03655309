"""Handlers of the probes of an API process: `/healthz` and `/readyz`."""

from worker.api.request_context import Reply, RequestContext
from worker.telemetry.readiness import State


async def healthz(call: RequestContext) -> Reply:
    """Return the liveness of the process."""
    return Reply(call.services.health.alive())


async def readyz(call: RequestContext) -> Reply:
    """Return the readiness of the process; 503 where it is red."""
    readiness = await call.services.health.ready()
    return Reply(readiness, 503 if readiness.status is State.RED else 200)
