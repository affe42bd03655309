"""Readiness: what it looks at, how often, and what makes it red."""

import asyncio
from typing import Any

import pytest

from worker.api import health as health_module
from worker.api.health import Health
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.readiness import State


class Store:
    """A store that can be away, full, or without workers."""

    def __init__(self) -> None:
        self.writes = 0
        self.away = self.full = self.over_water = False
        self.alive = 1

    async def writable(self) -> None:
        self.writes += 1
        await asyncio.sleep(0)
        if self.away:
            raise LedgerUnavailable("the store does not answer")
        if self.full:
            raise LedgerFull("the store is at its memory limit")

    async def workers(self) -> int:
        return self.alive

    async def refuse_over_water(self) -> None:
        if self.over_water:
            raise LedgerFull("the store uses 90% of its memory limit")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def health(store: Store) -> Health:
    return Health(store, lambda: None)


@pytest.mark.parametrize(
    ("change", "status", "check"),
    [
        ({}, State.OK, "ledger"),
        ({"away": True}, State.RED, "ledger"),
        ({"full": True}, State.RED, "ledger"),
        ({"over_water": True}, State.DEGRADED, "ledger"),
        ({"alive": 0}, State.DEGRADED, "workers"),
    ],
)
async def test_only_a_ledger_that_takes_no_writes_is_red(
    store: Store, health: Health, change: dict[str, Any], status: State, check: str
) -> None:
    for name, value in change.items():
        setattr(store, name, value)
    ready = await health.ready()
    assert (ready.status, ready.checks[check].status) == (status, status)
    assert (status is State.OK) != bool(ready.checks[check].why)


async def test_however_many_ask_the_ledger_is_asked_once_a_second(
    store: Store, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*(health.ready() for _ in range(100)))
    assert store.writes == 1
    monkeypatch.setattr(health_module, "LOOK_SECONDS", 0.0)
    store.away = True
    assert (await health.ready()).status is State.RED


async def test_a_process_that_was_told_to_stop_is_red_at_once(health: Health) -> None:
    assert (await health.ready()).status is State.OK
    health.draining = True
    assert (await health.ready()).status is State.RED


async def test_a_broker_that_is_away_degrades_and_heals(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "BROKER_SECONDS", 0.01)
    monkeypatch.setattr(health_module, "LOOK_SECONDS", 0.0)
    away = True

    def ping() -> None:
        if away:
            raise ConnectionRefusedError("nobody listens")

    health = Health(store, ping)
    health.open()
    try:
        async with asyncio.timeout(10):
            while (await health.ready()).checks["broker"].status is State.OK:  # noqa: ASYNC110  (it is watched by a timer)
                await asyncio.sleep(0.01)
            assert (await health.ready()).status is State.DEGRADED
            away = False
            while (await health.ready()).checks["broker"].status is not State.OK:  # noqa: ASYNC110  (as above)
                await asyncio.sleep(0.01)
    finally:
        await health.close()
