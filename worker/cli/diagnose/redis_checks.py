"""What the ledger needs of its store: decides from what the store says of itself."""

from collections.abc import Iterator

from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.format import size
from worker.ledger.connection.redis_client import OLDEST_SERVER
from worker.ledger.connection.redis_condition import RedisCondition

#: A clock that is further off makes the times of events and the Retry-After dates of receivers wrong (seconds).
CLOCK_TOLERANCE = 2.0


def judge(store: RedisCondition, *, wait_replicas: int, high_water: float) -> Iterator[Finding]:
    """Each thing that "nothing is lost" rests on. `high_water`: the share of memory above which events are refused."""
    yield _version(store)
    yield _role(store)
    yield _persistence(store)
    yield _eviction(store)
    yield _memory(store, high_water)
    yield _replicas(store, wait_replicas)
    yield _clock(store)


def _version(store: RedisCondition) -> Finding:
    seen = f"{store.name} {store.version}"
    if tuple(int(part) for part in store.version.split(".")[:2]) < OLDEST_SERVER:
        return failed("store version", seen, "use Redis 7.0 or Valkey 7.2, or later")
    return ok("store version", seen)


def _role(store: RedisCondition) -> Finding:
    if store.role != "master":
        return failed("store role", f"a {store.role}, which takes no writes", "point EDW_REDIS_URL at the primary")
    return ok("store role", "takes writes")


def _persistence(store: RedisCondition) -> Finding:
    subject = "store persistence"
    if not store.append_only:
        return failed(subject, "no append-only file: a restart forgets what is owed", "set `appendonly yes`")
    if not store.last_write_ok:
        return failed(subject, "the last write to the append-only file failed", "look at the store's disk and its log")
    if store.fsync is None:
        advice = "see in its console that every write is synced"
        return warning(subject, "append-only file; how often it is synced is not told (CONFIG is refused)", advice)
    if store.fsync != "always":
        lost = "a second" if store.fsync == "everysec" else "half a minute"
        advice = "set `appendfsync always`: writes are batched, so that it costs little"
        return warning(subject, f"appendfsync {store.fsync}: a power cut may take {lost} of accepted events", advice)
    return ok(subject, "append-only file, appendfsync always")


def _eviction(store: RedisCondition) -> Finding:
    if store.eviction != "noeviction":
        advice = "set `maxmemory-policy noeviction`"
        return failed("store eviction", f"{store.eviction}: at its limit it forgets what is owed", advice)
    return ok("store eviction", "noeviction")


def _memory(store: RedisCondition, high_water: float) -> Finding:
    subject, used = "store memory", size(store.memory_used)
    if not store.memory_limit:
        advice = "set `maxmemory` below what the machine has: intake then stops in time, and what is owed goes on"
        return warning(subject, f"{used} used, and no limit", advice)
    share = store.memory_used / store.memory_limit
    seen = f"{used} of {size(store.memory_limit)} used ({share:.0%})"
    if share > high_water:
        return failed(subject, f"{seen}: events are refused above {high_water:.0%}", "give it more; see the runbook")
    if share > high_water / 2:
        return warning(subject, seen, f"events are refused above {high_water:.0%}: see what grows with `edw status`")
    return ok(subject, seen)


def _replicas(store: RedisCondition, wanted: int) -> Finding:
    subject, seen = "store replicas", str(store.replicas)
    if store.replicas < wanted:
        advice = "EDW_LEDGER_WAIT_REPLICAS asks for more: no event is accepted without them"
        return failed(subject, f"{seen}, and {wanted} are waited for", advice)
    if store.replicas and not wanted:
        advice = "set EDW_LEDGER_WAIT_REPLICAS=1, or a failover forgets what the replica had not yet"
        return warning(subject, f"{seen}, and none is waited for", advice)
    return ok(subject, f"{seen}, {wanted} waited for")


def _clock(store: RedisCondition) -> Finding:
    off = abs(store.clock_ahead)
    seen = f"{off:.3f} s apart, a round trip takes {store.round_trip * 1000:.2f} ms"
    if off > CLOCK_TOLERANCE + store.round_trip:
        return warning("clock", seen, "run a time service (chrony, systemd-timesyncd) on both machines")
    return ok("clock", seen)
