"""Checks of Redis or Valkey: judges what the server reports about itself."""

from collections.abc import Iterator

from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.humanize import size
from worker.ledger.connection.redis_client import OLDEST_SERVER
from worker.ledger.connection.redis_condition import RedisCondition

#: Seconds that the clocks may differ. More makes event times and receivers' Retry-After dates wrong.
CLOCK_TOLERANCE = 2.0


def judge(redis: RedisCondition, *, wait_replicas: int, high_water: float) -> Iterator[Finding]:
    """Check each property that "nothing is lost" depends on.

    `high_water` is the share of memory above which events are refused.
    """
    yield _version(redis)
    yield _role(redis)
    yield _persistence(redis)
    yield _eviction(redis)
    yield _memory(redis, high_water)
    yield _allocator(redis)
    yield _replicas(redis, wait_replicas)
    yield _clock(redis)


def _version(redis: RedisCondition) -> Finding:
    seen = f"{redis.name} {redis.version}"
    if tuple(int(part) for part in redis.version.split(".")[:2]) < OLDEST_SERVER:
        return failed("redis version", seen, "use Redis 7.0 or Valkey 7.2, or later")
    return ok("redis version", seen)


def _role(redis: RedisCondition) -> Finding:
    if redis.role != "master":
        return failed("redis role", f"a {redis.role}, which takes no writes", "point EDW_REDIS_URL at the primary")
    return ok("redis role", "takes writes")


def _persistence(redis: RedisCondition) -> Finding:
    subject = "redis persistence"
    if not redis.append_only:
        return failed(subject, "no append-only file: a restart forgets what is owed", "set `appendonly yes`")
    if not redis.last_write_ok:
        return failed(subject, "the last write to the append-only file failed", "look at Redis' disk and its log")
    if redis.fsync is None:
        advice = "check in the provider's console that every write is synced"
        return warning(subject, "append-only file; how often it is synced is unknown (CONFIG is refused)", advice)
    if redis.fsync != "always":
        lost = "a second" if redis.fsync == "everysec" else "half a minute"
        advice = "set `appendfsync always`; batches then cost little more, single writes two to five times as much"
        return warning(subject, f"appendfsync {redis.fsync}: a power cut may take {lost} of accepted events", advice)
    return ok(subject, "append-only file, appendfsync always")


def _eviction(redis: RedisCondition) -> Finding:
    if redis.eviction != "noeviction":
        advice = "set `maxmemory-policy noeviction`"
        return failed("redis eviction", f"{redis.eviction}: at its limit it forgets what is owed", advice)
    return ok("redis eviction", "noeviction")


def _memory(redis: RedisCondition, high_water: float) -> Finding:
    subject, used = "redis memory", size(redis.memory_used)
    if not redis.memory_limit:
        advice = "set `maxmemory` below the machine's memory: intake then stops in time, and deliveries go on"
        return warning(subject, f"{used} used, and no limit", advice)
    share = redis.memory_used / redis.memory_limit
    seen = f"{used} of {size(redis.memory_limit)} used ({share:.0%})"
    if share > high_water:
        return failed(
            subject,
            f"{seen}: events are refused above {high_water:.0%}",
            "raise `maxmemory`; see the runbook (deploy/RUNBOOK.md)",
        )
    if share > high_water / 2:
        return warning(subject, seen, f"events are refused above {high_water:.0%}: check what grows with `edw status`")
    return ok(subject, seen)


def _allocator(redis: RedisCondition) -> Finding:
    subject = "redis allocator"
    if redis.allocator == "libc":
        advice = "use a build with jemalloc, as the images of Redis and Valkey and Debian's packages are"
        return warning(subject, "libc: a delivery takes about 1.5 times the processor time of Redis", advice)
    return ok(subject, redis.allocator or "not reported")


def _replicas(redis: RedisCondition, wanted: int) -> Finding:
    subject, seen = "redis replicas", str(redis.replicas)
    if redis.replicas < wanted:
        advice = "add replicas: EDW_LEDGER_WAIT_REPLICAS requires more, and no event is accepted without them"
        return failed(subject, f"{seen}, and {wanted} required", advice)
    if redis.replicas and not wanted:
        advice = "set EDW_LEDGER_WAIT_REPLICAS=1; without it, a failover loses what the replica did not have yet"
        return warning(subject, f"{seen}, and none required", advice)
    return ok(subject, f"{seen}, {wanted} required")


def _clock(redis: RedisCondition) -> Finding:
    off = abs(redis.clock_ahead)
    seen = f"{off:.3f} s apart, a round trip takes {redis.round_trip * 1000:.2f} ms"
    if off > CLOCK_TOLERANCE + redis.round_trip:
        return warning("clock", seen, "run a time service (chrony, systemd-timesyncd) on both machines")
    return ok("clock", seen)
