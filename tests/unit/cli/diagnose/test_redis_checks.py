"""What the doctor says of Redis, from what Redis reports about itself."""

from dataclasses import replace

import pytest

from worker.cli.diagnose import Grade
from worker.cli.diagnose.redis_checks import judge
from worker.ledger.connection.redis_condition import RedisCondition

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
    allocator="jemalloc-5.3.0",
    clock_ahead=0.001,
    round_trip=0.0002,
)


def test_a_redis_that_is_as_it_should_be_has_nothing_to_mend() -> None:
    found = list(judge(WELL, wait_replicas=0, high_water=0.85))
    assert {each.grade for each in found} == {Grade.OK}
    assert not any(each.advice for each in found)


@pytest.mark.parametrize(
    ("change", "subject", "grade", "advice"),
    [
        ({"version": "6.2.7"}, "redis version", Grade.FAILED, "Redis 7.0"),
        ({"role": "slave"}, "redis role", Grade.FAILED, "EDW_REDIS_URL"),
        ({"append_only": False}, "redis persistence", Grade.FAILED, "appendonly yes"),
        ({"last_write_ok": False}, "redis persistence", Grade.FAILED, "disk"),
        ({"fsync": "everysec"}, "redis persistence", Grade.WARNING, "appendfsync always"),
        ({"fsync": "no"}, "redis persistence", Grade.WARNING, "appendfsync always"),
        ({"fsync": None}, "redis persistence", Grade.WARNING, "console"),
        ({"eviction": "allkeys-lru"}, "redis eviction", Grade.FAILED, "noeviction"),
        ({"memory_limit": 0}, "redis memory", Grade.WARNING, "maxmemory"),
        ({"memory_used": 950 << 20}, "redis memory", Grade.FAILED, "runbook"),
        ({"memory_used": 600 << 20}, "redis memory", Grade.WARNING, "edw status"),
        ({"allocator": "libc"}, "redis allocator", Grade.WARNING, "jemalloc"),
        ({"replicas": 1}, "redis replicas", Grade.WARNING, "EDW_LEDGER_WAIT_REPLICAS=1"),
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
    assert [each.subject for each in found if each.grade is Grade.FAILED] == ["redis replicas"]
    assert {each.grade for each in judge(replace(WELL, replicas=2), wait_replicas=2, high_water=0.85)} == {Grade.OK}
