"""What a store's number of integrations costs: creating one, and matching an event, among 10 and among 1,000.

In this process and its own private Redis server, interleaved: whatever else the machine does, it does to both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.observable_events import load_catalogue
from deliverers.registry import DelivererRegistry
from tests.benchmarks.order import OBSERVABLE_KEY, ORG_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.change import Actor
from worker.domain.event import Event as ParsedEvent
from worker.domain.event import Scope
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.domain.secrets_box import SecretsBox
from worker.integrations.integration_service import IntegrationService
from worker.ledger import Ledger
from worker.ledger.lanes.claims import Opening

SIZES = (10, 1_000)
BY = Actor("", "benchmark")
#: Operations of each kind and size; the first few of each teach Redis its scripts, and do not count.
REPETITIONS = 300
WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Growth:
    """One operation's median (µs) by how many integrations its store has."""

    name: str
    micros: Mapping[int, float]

    @property
    def ratio(self) -> float:
        """Among many, of what it is among few."""
        few, many = (self.micros[size] for size in SIZES)
        return many / few


def measure_growth(redis_server: PrivateRedis, repetitions: int = REPETITIONS) -> tuple[Growth, ...]:
    """Registers the integrations, and measures; Redis must be running."""
    return asyncio.run(_measure(redis_server, repetitions))


async def _measure(redis_server: PrivateRedis, repetitions: int) -> tuple[Growth, ...]:
    ledger = Ledger(redis_server.url)
    await ledger.open()
    try:
        types, catalogue = DelivererRegistry.load(), load_catalogue()
        secrets = SecretsBox([SecretStr(Fernet.generate_key().decode())])
        registrar = IntegrationService(ledger.integrations, types, catalogue, secrets)
        directory = IntegrationCache(ledger, types, {}, secrets)
        scopes = {size: Scope(ORG_ID, f"growth-{size}") for size in SIZES}
        others = [key for key in catalogue.keys if "store" in catalogue.levels(key) and key != OBSERVABLE_KEY]
        for size, scope in scopes.items():
            for number in range(size):
                key = OBSERVABLE_KEY if number == 0 else others[number % len(others)]
                await registrar.create(_attributes(key), scope, BY)

        async def create(size: int) -> float:
            began = perf_counter()
            made = await registrar.create(_attributes(others[0]), scopes[size], BY)
            took = perf_counter() - began
            assert isinstance(made, tuple)
            created: Integration = made[0]
            await registrar.delete(created, BY)
            return took

        orders = {size: OrderPaid(scope.store_id or "") for size, scope in scopes.items()}
        rules = EventRules(catalogue)

        async def match(size: int) -> float:
            event = parse_event(orders[size].event(), rules)
            assert isinstance(event, ParsedEvent)
            await ledger.inbox.accept([event])
            began = perf_counter()
            loaded = await ledger.inbox.load([event.ref])
            (stored,) = loaded.events
            snapshot = await directory.snapshot(event.scope, loaded.versions[event.scope.key])
            matching = snapshot.matching(event.type)
            await ledger.jobs.open([(stored, [Opening(job_id(event.ref, each), each) for each in matching], True)], 0)
            took = perf_counter() - began
            assert len(matching) == 1
            return took

        return (
            Growth("creating an integration", await _interleaved(create, repetitions)),
            Growth("matching an event, after a change", await _interleaved(_after_change(match, create), repetitions)),
            Growth("matching an event", await _interleaved(match, repetitions)),
        )
    finally:
        await ledger.close()


def _after_change(
    match: Callable[[int], Awaitable[float]], create: Callable[[int], Awaitable[float]]
) -> Callable[[int], Awaitable[float]]:
    async def both(size: int) -> float:
        await create(size)
        return await match(size)

    return both


async def _interleaved(operation: Callable[[int], Awaitable[float]], repetitions: int) -> Mapping[int, float]:
    took: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(repetitions + WARM_UP):
        for size in SIZES:
            took[size].append(await operation(size) * 1e6)
    return {size: median(times[WARM_UP:]) for size, times in took.items()}


def _attributes(key: str) -> Mapping[str, Any]:
    return {
        "name": "ERP",
        "observes": [key],
        "integration_type": "webhook",
        "configuration": {"url": "https://erp.example/hook"},
    }
