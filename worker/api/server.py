"""The process of the API: opens the rooms, listens, and on SIGTERM finishes what is under way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from celery import Celery

from config.celery import celery_options
from config.observable_events import load_catalogue
from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.api.application import application
from worker.api.handlers.health_handlers import ApiHealth
from worker.api.handlers.test_delivery_handlers import SampleDelivery
from worker.api.services.access import Access
from worker.api.services.api_services import ApiServices
from worker.api.services.broker_watch import BrokerWatch
from worker.api.services.event_intake import EventIntake
from worker.cancellation import end
from worker.delivery.deliverer_options import deliverer_options
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.event_parser import EventRules
from worker.domain.secrets_box import SecretsBox
from worker.intake.wakeup_sender import WakeupSender
from worker.intake.wakeups import Wakeups
from worker.integrations.integration_service import IntegrationService
from worker.integrations.redelivery import RedeliveryService
from worker.ledger import Ledger, LedgerPolicy
from worker.ledger.connection.endpoints import find_endpoints
from worker.ledger.connection.startup import reach
from worker.telemetry import metrics
from worker.telemetry.ledger_calls import LedgerCallMetrics
from worker.telemetry.process_telemetry import Telemetry
from worker.telemetry.tracing import exporting

_log = structlog.get_logger("edw.api")

#: A connection that says nothing is kept for so long (seconds): longer than the load balancers in front keep theirs.
KEEP_ALIVE_SECONDS = 75.0


async def serve(settings: Settings, stopping: asyncio.Event, *, shared_port: bool = False) -> None:
    """Serves until `stopping` is set, then finishes what is under way, for EDW_DRAIN_SECONDS at most.

    Raises OSError where the port cannot be had, NoStoreError where there is no store, and LedgerFormatError where the
    ledger is another version's. A ledger that does not answer is waited for: meanwhile requests are answered with 503,
    and /readyz is red.
    """
    async with rooms_of(settings) as rooms:
        runner = web.AppRunner(
            application(rooms),
            access_log=None,
            logger=_ServerLog(logging.getLogger("edw.api"), {}),
            handle_signals=False,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            shutdown_timeout=settings.drain_seconds,
        )
        await runner.setup()
        telemetry = Telemetry(rooms.ledger, settings)
        try:
            site = web.TCPSite(runner, settings.api_host, settings.api_port, reuse_port=shared_port or None)
            await site.start()
            _log.info("api ready", url=f"http://{_shown(runner.addresses[0])}", ledger=rooms.ledger.address)
            await telemetry.open()
            await _told(stopping, rooms.opening)
            rooms.health.draining = True
        finally:
            await runner.cleanup()
            await telemetry.close()
        _log.info("api drained")


@asynccontextmanager
async def rooms_of(settings: Settings) -> AsyncIterator[ApiServices]:
    """Everything that the handlers work with, open for as long as the block lasts. Raises NoStoreError."""
    endpoints = find_endpoints(settings)
    app = Celery("edw-api", set_as_current=False)
    app.conf.update(celery_options(settings, endpoints.broker_url))
    types = DelivererRegistry.load()
    secrets = SecretsBox(settings.secrets_keys)
    options = deliverer_options(settings)
    deliverers = {
        kind: types.create(kind, replace(options, dialled=metrics.dial_counter(kind))) for kind in types.types
    }
    catalogue = load_catalogue(settings.observable_keys)
    async with AsyncExitStack() as stack:
        traces = stack.enter_context(exporting(settings, "edw-api"))
        ledger = Ledger(endpoints.ledger_url, LedgerPolicy.of(settings), settings.shard, LedgerCallMetrics())
        stack.push_async_callback(ledger.close)
        wakeups = Wakeups(WakeupSender(app, settings.shard))
        stack.callback(wakeups.close)
        for deliverer in deliverers.values():
            stack.push_async_callback(deliverer.close)
            await deliverer.open()
        # Its version and its format are looked at as soon as it answers.
        opening = asyncio.create_task(reach(ledger, asyncio.Event()))
        stack.push_async_callback(end, [opening])
        broker = BrokerWatch(partial(_ping, app), is_store=endpoints.broker_url == endpoints.ledger_url)
        stack.push_async_callback(broker.close)
        broker.open()
        yield ApiServices(
            settings=settings,
            ledger=ledger,
            registrar=IntegrationService(ledger.integrations, types, catalogue, secrets, wakeups.events),
            rules=EventRules(catalogue, settings.event_max_bytes),
            intake=EventIntake(ledger.inbox, settings, wakeups.events),
            redeliveries=RedeliveryService(ledger),
            trials=SampleDelivery(IntegrationCache(ledger, types, deliverers, secrets), settings.webhook_timeout),
            access=Access(ledger.tokens, proxies=settings.api_proxies),
            types=types,
            health=ApiHealth(ledger.status, broker),
            wakeups=wakeups,
            traces=traces,
            opening=opening,
        )


async def _told(stopping: asyncio.Event, opening: "asyncio.Task[bool]") -> None:
    """Waits until the process is told to stop. Raises what opening the ledger raises."""
    told = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([told, opening], return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
            await told
    finally:
        await end([told])


def _ping(app: Celery) -> None:
    """Connects to the broker and leaves again; raises what its client raises."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=app.conf.broker_connection_timeout)


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs by itself. Anybody can send what is no HTTP: that is worth a line, and no traceback."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):
            _log.info("no http", remote=args[0] if args else None, why=" ".join(exc_info.message.split()))
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)


def _shown(address: Sequence[object]) -> str:
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
