"""The ledger's gauges as Prometheus sees them: exposed by one process, and never once they are old."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from tests.counterparts.redis_server import RedisServer
from tests.ledger import inspection
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.telemetry.ledger_gauges import GaugeCollector
from worker.telemetry.redis_clock import RedisClock


def reported(collector: GaugeCollector) -> dict[str, float]:
    """Series → value, of what a scrape would see of it."""
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def collecting(ledger: Ledger, pause: float) -> GaugeCollector:
    return GaugeCollector(ledger.totals, RedisClock(), "0", pause)


async def test_one_of_several_processes_exposes_them_and_another_goes_on_at_once(
    ledger: Ledger, redis_server: RedisServer
) -> None:
    other = Ledger(redis_server.url, ledger.policy)
    first, second = collecting(ledger, 0.05), collecting(other, 0.05)
    await first.open()
    await second.open()
    try:
        assert reported(first)["edw_jobs_pending['0']"] == 0
        assert reported(second) == {}
        assert REGISTRY.get_sample_value("edw_jobs_pending", {"shard": "0"}) == 0, "a scrape sees them once"
        await first.close()
        assert reported(first) == {}
        await eventually(lambda: reported(second), "the other one exposes them")
    finally:
        await second.close()
        await other.close()
    assert REGISTRY.get_sample_value("edw_jobs_pending", {"shard": "0"}) is None


async def test_what_is_old_is_not_exposed(ledger: Ledger, redis_server: RedisServer) -> None:
    collector = collecting(ledger, 0.1)
    await collector.open()
    try:
        await eventually(lambda: reported(collector), "they are exposed")
        redis_server.freeze()
        await eventually(lambda: reported(collector) == {}, "Redis has been away for longer than they are true")
        redis_server.thaw()
        await eventually(lambda: reported(collector), "they are exposed again")
    finally:
        redis_server.thaw()
        await collector.close()


async def test_a_ledger_that_does_not_answer_is_no_error(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    ledger = Ledger(server.url)
    server.kill()
    collector = collecting(ledger, 0.05)
    await collector.open()
    try:
        assert reported(collector) == {}
        server.start()
        found = await eventually(lambda: reported(collector), "they are exposed once it answers")
        assert found["edw_redis_memory_bytes['0']"] > 0
    finally:
        await collector.close()
        await ledger.close()


async def test_a_redis_server_that_is_silent_keeps_no_process_from_its_start(
    ledger: Ledger, redis_server: RedisServer
) -> None:
    collector = collecting(ledger, 60.0)
    redis_server.freeze()
    await collector.open()
    try:
        assert not reported(collector), "it opened before Redis answered"
        redis_server.thaw()
        await eventually(lambda: reported(collector), "the sample that was begun is exposed")
    finally:
        redis_server.thaw()
        await collector.close()


async def test_the_clock_is_known_by_the_first_sample(ledger: Ledger) -> None:
    clock = RedisClock()
    collector = GaugeCollector(ledger.totals, clock, "0", 60.0)
    await collector.open()
    try:
        now = await inspection.redis_time(ledger) / 1000
        assert clock.since(now) == pytest.approx(0, abs=0.25)
    finally:
        await collector.close()
