"""The steps of the demo: register an integration, publish an event, and await its attempts."""

import asyncio
from collections.abc import Callable
from time import monotonic

from config.observable_events import load_catalogue
from deliverers.registry import DelivererRegistry
from worker.cli.cli_session import heed_cancellation
from worker.cli.demo.order import EVENT, ORG_ID, STORE_ID
from worker.cli.demo.promises import Play
from worker.cli.demo.receiver import ReceivedRequest
from worker.cli.demo.stage import BACKOFF_SECONDS, Stage
from worker.cli.supervision import died, first_of, over
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.integration_input import register
from worker.domain.integration_log import IntegrationLog
from worker.domain.sealing import sealed
from worker.domain.secrets_box import SecretsBox
from worker.ledger.inspection.ledger_status import LedgerStatus
from worker.publisher import EventRefused, Publisher

#: Time limit of each step in seconds: a busy machine is slow, but not broken.
PATIENCE_SECONDS = 60.0
#: A secret that protects nothing and may be shown.
SECRET = "demo-secret-7f3a91"  # noqa: S105
_POLL_SECONDS = 0.02

Say = Callable[[str], None]


class DemoError(Exception):
    """A step of the demo failed; the text says which and why."""


async def play(stage: Stage, say: Say) -> Play:
    """Play the demo and report each step. Raises DemoError if a step does not finish."""
    integration = await _register(stage)
    say(f"registered integration {integration.id}: a webhook that observes order.paid")
    await _ready(stage)
    say("the worker is ready")
    began = await _publish(stage, say)
    received: list[ReceivedRequest] = []
    for attempt in (1, 2):
        request = await _next_request(stage, f"attempt {attempt}")
        received.append(request)
        waited = f"{request.at - received[0].at:.2f} s" if attempt > 1 else f"{(request.at - began) * 1000:.1f} ms"
        since = "the refusal" if attempt > 1 else "publishing began"
        say(f"attempt {attempt} arrived {waited} after {since}; the receiver answers {request.status}")
    logs, status = await _settled(stage, integration)
    return Play(integration, SECRET, BACKOFF_SECONDS, received, logs, status)


async def _register(stage: Stage) -> Integration:
    settings = stage.settings
    types = DelivererRegistry.load()
    document = {
        "name": "Warehouse",
        "description": "Notifies the warehouse of what to ship.",
        "integration_type": "webhook",
        "observes": ["order.paid"],
        "configuration": {"url": stage.receiver.url, "secret_key": SECRET},
    }
    made = register(document, Scope(ORG_ID, STORE_ID), types, load_catalogue(settings.observable_keys))
    if isinstance(made, list):
        raise DemoError("the integration was refused: " + "; ".join(map(str, made)))
    await stage.ledger.integrations.put(sealed(made, types, SecretsBox(settings.secrets_keys)), expect=0)
    return made


async def _ready(stage: Stage) -> None:
    """Wait until the ledger knows a worker."""
    await _until(stage, lambda status: status.processes > 0, "the worker did not start")


async def _publish(stage: Stage, say: Say) -> float:
    async with Publisher(stage.settings) as publisher:
        began = monotonic()
        try:
            receipt = await publisher.apublish(EVENT)
        except EventRefused as error:
            raise DemoError(f"the event was refused: {error.refusal}") from None
        took = monotonic() - began
        say(f"published order.paid {receipt.id} ({len(EVENT):,} bytes), in the ledger after {took * 1000:.1f} ms")
    return began


async def _next_request(stage: Stage, name: str) -> ReceivedRequest:
    heed_cancellation()
    requests, worker = stage.receiver.requests, stage.worker.process
    coming = asyncio.ensure_future(requests.get())
    try:
        await first_of(over(coming), worker.wait(), timeout=PATIENCE_SECONDS)
        if coming.done():
            return coming.result()
    finally:
        coming.cancel()
    raise _failed(stage, f"{name} did not arrive")


async def _settled(stage: Stage, integration: Integration) -> tuple[list[IntegrationLog], LedgerStatus]:
    """Wait until no job is pending; return the logs by attempt, and the ledger's status."""
    status = await _until(stage, lambda status: status.pending == 0, "the job did not end")
    logs = (await stage.ledger.logs.of_integration(integration.id, 0, 10)).items
    return sorted(logs, key=lambda log: log.attempt), status


async def _until(stage: Stage, good: Callable[[LedgerStatus], bool], otherwise: str) -> LedgerStatus:
    end = monotonic() + PATIENCE_SECONDS
    while not good(status := await stage.ledger.status.read()):
        if monotonic() > end or stage.worker.process.returncode is not None:
            raise _failed(stage, otherwise)
        heed_cancellation()
        await asyncio.sleep(_POLL_SECONDS)
    return status


def _failed(stage: Stage, what: str) -> DemoError:
    code = stage.worker.process.returncode
    why = f"not within {PATIENCE_SECONDS:g} s" if code is None else f"the worker {died(code)}"
    return DemoError(f"{what}: {why}. The end of the worker's log:\n{stage.end_of_log()}")
