"""The API process: it opens the services, listens, and on SIGTERM finishes the requests under way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from config.observable_events import load_catalogue
from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.api.application import Routed, application, direct_endpoints, refused
from worker.api.services.access import Access
from worker.api.services.api_health import ApiHealth
from worker.api.services.api_services import ApiServices
from worker.api.services.broker_watch import BrokerWatch
from worker.api.services.event_intake import EventIntake
from worker.delivery.integration_cache import IntegrationCache
from worker.delivery.opened_deliverers import LateDeliverers
from worker.delivery.sample_delivery import SampleDelivery
from worker.domain.event_parser import EventRules
from worker.domain.secrets_box import SecretsBox
from worker.event_loop import collector
from worker.event_loop.cancellation import end
from worker.http_server.limits import HttpLimits, api_limits, raise_descriptor_limit
from worker.http_server.site import HttpSite
from worker.intake.loop_wakeups import LoopWakeups
from worker.intake.redis_wakeups import AsyncRedisWakeupSender, speaks_redis
from worker.intake.wakeups import Wakeups
from worker.integrations.event_search import EventSearch
from worker.integrations.integration_service import IntegrationService, patience_limits
from worker.integrations.redelivery import RedeliveryService
from worker.ledger import Ledger, LedgerPolicy
from worker.ledger.connection.endpoints import Endpoints, find_endpoints
from worker.ledger.connection.startup import reach
from worker.telemetry import metrics
from worker.telemetry.ledger_calls import LedgerCallMetrics
from worker.telemetry.process_telemetry import Telemetry
from worker.telemetry.tracing import exporting

_log = structlog.get_logger("edw.api")


#: Makes what answers under other paths than the API's own, such as /console.
Parts = Callable[[ApiServices], Mapping[str, Routed]]


def no_parts(_: ApiServices) -> Mapping[str, Routed]:
    """Return nothing: the API alone."""
    return {}


async def serve(
    settings: Settings, stopping: asyncio.Event, *, shared_port: bool = False, parts: Parts = no_parts
) -> None:
    """Serve until `stopping` is set, then finish the requests under way within EDW_DRAIN_SECONDS.

    While the ledger does not answer, requests get 503 and /readyz is red.

    Raises OSError if the port is not available, NoRedisError if no Redis is configured or running, and
    LedgerFormatError if the ledger belongs to another version.
    """
    async with services_of(settings) as services:
        site = site_of(services, api_limits(settings, raise_descriptor_limit()), parts)
        await site.open()
        telemetry = Telemetry(services.ledger, settings)
        collecting = asyncio.create_task(collector.attend())
        try:
            await site.listen(settings.api_host, settings.api_port, shared_port=shared_port)
            _log.info("api ready", url=f"http://{_shown(site.addresses[0])}", ledger=services.ledger.address)
            # What follows can wait until after the first requests.
            await services.deliverers.open()
            await telemetry.open()
            await _wait_until_stopped(stopping, services.opening)
            services.health.draining = True
        finally:
            await site.close()
            await telemetry.close()
            await end([collecting])
        _log.info("api drained")


def site_of(services: ApiServices, limits: HttpLimits, parts: Parts = no_parts) -> HttpSite:
    """Return the API's server, with the limits of its clients; it does not listen yet."""
    app = application(services, parts(services))
    seconds = services.settings.drain_seconds
    direct = direct_endpoints(services)
    return HttpSite("api", app, limits, refused, metrics.observe_http, shutdown_seconds=seconds, direct=direct)


@asynccontextmanager
async def services_of(settings: Settings) -> AsyncIterator[ApiServices]:
    """Open everything that the handlers use, and close it at the end of the block. Raises NoRedisError."""
    endpoints = find_endpoints(settings)
    types = DelivererRegistry.late()
    secrets = SecretsBox(settings.secrets_keys)
    catalogue = load_catalogue(settings.observable_keys)
    async with AsyncExitStack() as stack:
        traces = stack.enter_context(exporting(settings, "edw-api"))
        ledger = Ledger(endpoints.ledger_url, LedgerPolicy.of(settings), settings.shard, LedgerCallMetrics())
        stack.push_async_callback(ledger.close)
        _join_history(stack, settings, ledger)
        wakeups, ping = _wakeups(stack, settings, endpoints, lambda: ledger.membership.minor)
        deliverers = LateDeliverers(settings, types)
        stack.push_async_callback(deliverers.close)
        # Checks the version and format of the ledger as soon as it answers.
        opening = asyncio.create_task(reach(ledger, asyncio.Event()))
        stack.push_async_callback(end, [opening])
        broker = BrokerWatch(ping, is_ledger_redis=endpoints.broker_url == endpoints.ledger_url)
        stack.push_async_callback(broker.close)
        broker.open()
        yield ApiServices(
            settings=settings,
            ledger=ledger,
            integration_service=IntegrationService(
                ledger.integrations, types, catalogue, secrets, wakeups.events, patience_limits(settings)
            ),
            rules=EventRules(catalogue, settings.event_max_bytes),
            intake=EventIntake(ledger.inbox, settings, wakeups.events, traces),
            redelivery_service=RedeliveryService(ledger),
            event_search=EventSearch(ledger),
            sample_delivery=SampleDelivery(
                IntegrationCache(ledger, types, deliverers.by_type, secrets, settings.webhook_timeout_max),
                settings.webhook_timeout,
                deliverers.open,
            ),
            deliverers=deliverers,
            access=Access(ledger.tokens, proxies=settings.api_proxies),
            types=types,
            health=ApiHealth(ledger.status, broker),
            wakeups=wakeups,
            traces=traces,
            opening=opening,
        )


def _join_history(stack: AsyncExitStack, settings: Settings, ledger: Ledger) -> None:
    """Have what reads the ledger go on in the history, if there is one, until `stack` ends."""
    if settings.history_url is not None:
        from worker.history.database import HistoryDatabase
        from worker.history.seam import join

        database = HistoryDatabase(settings.history_url.get_secret_value())
        stack.push_async_callback(database.close)
        join(ledger, database)


async def _wait_until_stopped(stopping: asyncio.Event, opening: "asyncio.Task[bool]") -> None:
    """Wait until `stopping` is set. Raises what opening the ledger raises."""
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([stopped, opening], return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
            await stopped
    finally:
        await end([stopped])


def _wakeups(
    stack: AsyncExitStack, settings: Settings, endpoints: Endpoints, minor: Callable[[], int]
) -> tuple[Wakeups | LoopWakeups, Callable[[], Awaitable[None]]]:
    """Return what sends wake-ups until `stack` ends, and a check whether the broker answers."""
    url = endpoints.broker_url
    if speaks_redis(url):
        sender = AsyncRedisWakeupSender(url, settings.shard, minor)
        stack.push_async_callback(sender.close)
        on_loop = LoopWakeups(sender)
        stack.push_async_callback(on_loop.close)
        return on_loop, sender.ping
    from worker.intake.wakeup_sender import WakeupSender, client_app, ping

    app = client_app("edw-api", settings, url)
    in_thread = Wakeups(WakeupSender(app, settings.shard, minor=minor))
    stack.callback(in_thread.close)
    return in_thread, partial(asyncio.to_thread, ping, app)


def _shown(address: Sequence[object]) -> str:
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
