"""Readiness: what it looks at, how often, and what makes it red."""

import asyncio
from typing import Any

import pytest
from msgspec import UNSET, UnsetType

from tests.waiting import eventually
from worker.api.services import api_health as health_module
from worker.api.services import broker_watch as broker_module
from worker.api.services.api_health import ApiHealth
from worker.api.services.broker_watch import BrokerWatch, in_words
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.telemetry.readiness import Check, State


class FakeRedis:
    """A Redis server that can be away, full, or without workers."""

    def __init__(self) -> None:
        self.writes = 0
        self.away = self.full = self.over_water = False
        self.alive = 1

    async def writable(self) -> None:
        self.writes += 1
        await asyncio.sleep(0)
        if self.away:
            raise LedgerUnavailable("Redis does not answer")
        if self.full:
            raise LedgerFull("Redis is at its memory limit")

    async def workers(self) -> int:
        return self.alive

    async def refuse_over_water(self) -> None:
        if self.over_water:
            raise LedgerFull("Redis uses 90% of its memory limit")


@pytest.fixture
def fake_redis() -> FakeRedis:
    return FakeRedis()


async def answers_at_once() -> None:
    """Does nothing, as a broker that is well."""


@pytest.fixture
def health(fake_redis: FakeRedis) -> ApiHealth:
    return ApiHealth(fake_redis, BrokerWatch(answers_at_once))


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
    fake_redis: FakeRedis, health: ApiHealth, change: dict[str, Any], status: State, check: str
) -> None:
    for name, value in change.items():
        setattr(fake_redis, name, value)
    ready = await health.ready()
    assert (ready.status, ready.checks[check].status) == (status, status)
    assert (status is State.OK) != bool(ready.checks[check].why)


async def test_however_many_ask_the_ledger_is_asked_once_a_second(
    fake_redis: FakeRedis, health: ApiHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*(health.ready() for _ in range(100)))
    assert fake_redis.writes == 1
    monkeypatch.setattr(health_module, "LOOK_SECONDS", 0.0)
    fake_redis.away = True
    assert (await health.ready()).status is State.RED


async def test_a_process_that_was_asked_to_stop_is_red_at_once(health: ApiHealth) -> None:
    assert (await health.ready()).status is State.OK
    health.draining = True
    assert (await health.ready()).status is State.RED


async def test_a_broker_that_is_away_degrades_and_heals(fake_redis: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "BROKER_SECONDS", 0.01)
    monkeypatch.setattr(health_module, "LOOK_SECONDS", 0.0)
    away = True

    async def ping() -> None:
        if away:
            raise ConnectionRefusedError("nobody listens")

    broker = BrokerWatch(ping)
    health = ApiHealth(fake_redis, broker)
    broker.open()
    try:
        ready = await health.ready()
        assert (ready.status, ready.checks["broker"].status) == (State.DEGRADED, State.DEGRADED)
        away = False

        async def is_back() -> bool:
            return (await health.ready()).checks["broker"].status is State.OK

        await eventually(is_back, "the broker is seen to be back")
    finally:
        await broker.close()


async def test_a_broker_that_does_not_answer_is_not_reported_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "SILENT_SECONDS", 0.05)
    answers = asyncio.Event()

    async def ping() -> None:
        await answers.wait()

    broker = BrokerWatch(ping)
    broker.open()
    try:
        found = await broker.look()
        assert (found.status, found.why) == (State.DEGRADED, "no answer for 0 s")
        answers.set()

        async def is_well() -> bool:
            return (await broker.look()).status is State.OK

        await eventually(is_well, "the broker answers")
    finally:
        answers.set()
        await broker.close()


OK, RED = Check(State.OK), Check(State.RED, "no answer", "since then")
AWAY = Check(State.DEGRADED, "away (refused)", "since now")
NONE = Check(State.DEGRADED, "none is alive")
PROMISE = "away (refused); events are delivered all the same, up to seconds later"


@pytest.mark.parametrize(
    ("broker", "ledger", "workers", "is_ledger_redis", "why"),
    [
        pytest.param(AWAY, OK, OK, False, PROMISE, id="the ledger and the workers deliver"),
        pytest.param(AWAY, Check(State.DEGRADED, "over water"), OK, False, PROMISE, id="and what is owed is"),
        pytest.param(AWAY, RED, OK, False, "away (refused)", id="no ledger, no delivery"),
        pytest.param(AWAY, OK, NONE, False, "away (refused)", id="no workers, no delivery"),
        pytest.param(OK, RED, NONE, True, "unknown: it is the ledger's server", id="it was well when it last answered"),
        pytest.param(AWAY, RED, NONE, True, "unknown: it is the ledger's server", id="one Redis that is away is one"),
        pytest.param(OK, RED, OK, False, UNSET, id="another server is another server"),
        pytest.param(OK, OK, OK, True, UNSET, id="all is well"),
    ],
)
def test_what_is_said_of_the_broker_is_true_beside_what_is_said_of_the_others(
    broker: Check, ledger: Check, workers: Check, is_ledger_redis: bool, why: str | UnsetType
) -> None:
    found = in_words(broker, ledger, workers, is_ledger_redis=is_ledger_redis)
    assert found.why == why
    assert found.status is (State.OK if why is UNSET else State.DEGRADED)
