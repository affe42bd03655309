"""What the doctor says of a Redis server, from what the server says of itself."""

from dataclasses import replace

import pytest

from worker.cli.diagnose import Grade
from worker.cli.diagnose.redis_checks import judge
from worker.ledger.redis_condition import RedisCondition

WELL = RedisCondition(
    name="Redis",
    version="7.0.15",
    role="master",
    memory_used=1 << 20,
    memory_limit=1 << 30,
    eviction="noeviction",
    append_only=True,
    last_write_ok=True,
    fsync="always",
    replicas=0,
    clock_ahead=0.001,
    round_trip=0.0002,
)


def test_a_redis_server_that_is_as_it_should_be_has_nothing_to_mend() -> None:
    found = list(judge(WELL, wait_replicas=0, high_water=0.85))
    assert {each.grade for each in found} == {Grade.OK}
    assert not any(each.advice for each in found)


@pytest.mark.parametrize(
    ("change", "subject", "grade", "advice"),
    [
        ({"version": "6.2.7"}, "store version", Grade.FAILED, "Redis 7.0"),
        ({"role": "slave"}, "store role", Grade.FAILED, "EDW_REDIS_URL"),
        ({"append_only": False}, "store persistence", Grade.FAILED, "appendonly yes"),
        ({"last_write_ok": False}, "store persistence", Grade.FAILED, "disk"),
        ({"fsync": "everysec"}, "store persistence", Grade.WARNING, "appendfsync always"),
        ({"fsync": "no"}, "store persistence", Grade.WARNING, "appendfsync always"),
        ({"fsync": None}, "store persistence", Grade.WARNING, "console"),
        ({"eviction": "allkeys-lru"}, "store eviction", Grade.FAILED, "noeviction"),
        ({"memory_limit": 0}, "store memory", Grade.WARNING, "maxmemory"),
        ({"memory_used": 950 << 20}, "store memory", Grade.FAILED, "runbook"),
        ({"memory_used": 600 << 20}, "store memory", Grade.WARNING, "edw status"),
        ({"replicas": 1}, "store replicas", Grade.WARNING, "EDW_LEDGER_WAIT_REPLICAS=1"),
        ({"clock_ahead": -5.0}, "clock", Grade.WARNING, "chrony"),
        ({"clock_ahead": 5.0}, "clock", Grade.WARNING, "chrony"),
    ],
)
def test_what_is_not_well_is_named_with_what_to_do(
    change: dict[str, object], subject: str, grade: Grade, advice: str
) -> None:
    found = list(judge(replace(WELL, **change), wait_replicas=0, high_water=0.85))  # type: ignore[arg-type]
    (bad,) = [each for each in found if each.grade is not Grade.OK]
    assert (bad.subject, bad.grade) == (subject, grade)
    assert advice in bad.advice


def test_replicas_that_are_waited_for_and_missing_are_a_failure() -> None:
    found = list(judge(replace(WELL, replicas=1), wait_replicas=2, high_water=0.85))
    assert [each.subject for each in found if each.grade is Grade.FAILED] == ["store replicas"]
    assert {each.grade for each in judge(replace(WELL, replicas=2), wait_replicas=2, high_water=0.85)} == {Grade.OK}
