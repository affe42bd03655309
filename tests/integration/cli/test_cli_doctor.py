"""`edw doctor`, on real Redis servers and brokers, well and unwell."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.fleet.edw_command import Edw, Result
from tests.ledger import surgery
from tests.ledger.scene import LedgerScene
from worker.cli.keys import make_key
from worker.ledger import Ledger

NOWHERE = "redis://127.0.0.1:1/0"


def grades(found: Result) -> dict[str, str]:
    return {each["subject"]: each["grade"] for each in found.json["findings"]}


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[Ledger]:
    """The ledger on the embedded Redis server."""
    opened = Ledger(redis_url)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_job_that_no_sweep_would_find_is_found_and_mended(edw: Edw, ledger: Ledger) -> None:
    scene = LedgerScene(ledger, lambda: ledger)
    await scene.register("i-1")
    (job,) = await scene.owe("i-1", "e-1")
    await surgery.lose_due_job(ledger, "i-1", job)

    found = edw("doctor")
    assert found.code == 1
    assert f"neither due nor in flight: 1 (such as {job})" in found.text
    assert "edw doctor --repair" in found.text
    assert "repaired" in edw("doctor", "--repair").text

    assert grades(edw("doctor", "--json"))["audit"] == "ok"
    assert [claim.job_id for claim in await scene.claim("i-1")] == [job]


def test_every_part_of_an_installation_is_looked_at(edw: Edw, redis_url: str) -> None:
    found = grades(edw("doctor", "--json"))
    expected = {"settings", "open files", "redis", "redis persistence", "redis eviction", "redis memory", "clock"}
    expected |= {"balance", "workers", "inbox", "audit", "secrets", "egress", "broker", "queue edw.events"}
    assert expected <= set(found)
    assert {name for name, grade in found.items() if grade == "failed"} == {"workers"}


def test_the_key_that_edw_dev_made_is_a_key(edw: Edw, redis_url: str, environment: dict[str, str]) -> None:
    del environment["EDW_SECRETS_KEYS"]
    assert grades(edw("doctor", "--quick", "--json"))["secrets"] == "warning"
    make_key(Path(environment["EDW_DATA_DIR"]))
    assert grades(edw("doctor", "--quick", "--json"))["secrets"] == "ok"


def test_a_redis_server_that_evicts_and_keeps_nothing_on_disk_is_a_failure_with_what_to_do(
    edw: Edw, make_redis: Callable[..., RedisServer]
) -> None:
    server = make_redis(appendonly="no", **{"maxmemory-policy": "allkeys-lru"})
    found = edw("doctor", "--quick", EDW_REDIS_URL=server.url)
    assert found.code == 1
    assert "set `appendonly yes`" in found.text
    assert "set `maxmemory-policy noeviction`" in found.text
    assert "audit" not in found.text


def test_without_a_redis_server_the_rest_is_looked_at_all_the_same(edw: Edw) -> None:
    found = edw("doctor", "--json", EDW_REDIS_URL=NOWHERE)
    assert found.code == 3
    reported = grades(found)
    assert (reported["settings"], reported["redis"], reported["broker"]) == ("ok", "failed", "failed")


def test_queues_of_rabbitmq_are_looked_at_one_by_one(
    edw: Edw, redis_url: str, rabbit: RabbitServer, vhost: str
) -> None:
    found = grades(edw("doctor", "--json", EDW_BROKER_URL=rabbit.url(vhost)))
    assert (found["broker"], found["queue edw.events"], found["queue edw.intake.dead"]) == ("ok", "warning", "warning")


def test_a_secret_that_no_key_opens_is_reported_with_its_integration(edw: Edw, redis_url: str) -> None:
    created = edw(
        *("integrations", "create", "--name", "x", "--observes", "order.paid", "--url", "https://127.0.0.1/"),
        *("--secret-key", "s3cret", "--json"),
    )
    found = edw("doctor", "--quick", EDW_SECRETS_KEYS="")
    assert found.code == 1
    assert f"no key opens: {created.json['data']['id']}" in found.text


def test_strict_fails_for_a_warning(edw: Edw, redis_url: str, start_edw: Callable[..., object]) -> None:
    assert "warning" in grades(edw("doctor", "--json")).values()
    running = start_edw("worker")
    running.says("worker ready")  # type: ignore[attr-defined]
    assert edw("doctor").code == 0
    assert edw("doctor", "--strict").code == 1


def test_options_that_contradict_each_other_are_wrong_usage(edw: Edw) -> None:
    found = edw("doctor", "--repair", "--quick")
    assert (found.code, "which --quick skips" in found.text) == (2, True)
