"""The probes of an API process: `/healthz` and `/readyz`."""

from worker.api.request_context import Reply, RequestContext
from worker.telemetry.readiness import State


async def healthz(call: RequestContext) -> Reply:
    """Whether the process answers."""
    return Reply(call.services.health.alive())


async def readyz(call: RequestContext) -> Reply:
    """Whether requests should come here."""
    readiness = await call.services.health.ready()
    return Reply(readiness, 503 if readiness.status is State.RED else 200)
