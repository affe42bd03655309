"""The configuration and condition of Redis, as it reports them."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import time
from typing import Any

from redis.exceptions import ResponseError

from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.redis_errors import mapped


@dataclass(frozen=True, slots=True)
class RedisCondition:
    """The server at one moment. Sizes in bytes, durations in seconds; None means that it does not report the value."""

    name: str
    version: str
    role: str
    memory_used: int
    #: 0 is no limit.
    memory_limit: int
    eviction: str
    append_only: bool
    last_write_ok: bool
    #: `always`, `everysec` or `no`.
    fsync: str | None
    replicas: int
    #: What allocates its memory, such as `jemalloc-5.3.0` or `libc`.
    allocator: str | None
    #: How far this machine's clock is ahead of Redis's; the error is at most a round trip.
    clock_ahead: float
    #: The duration of one call.
    round_trip: float


async def read_condition(redis: RedisClient) -> RedisCondition:
    """Read the condition of the server. Raises LedgerUnavailable if it does not answer."""
    with mapped(redis.server, "info"):
        began = time()
        info: Mapping[str, Any] = await redis.client.info("everything")
        asked = time()
        seconds, micros = await redis.client.time()
        answered = time()
    return RedisCondition(
        name="Valkey" if "valkey_version" in info else "Redis",
        version=str(info.get("valkey_version") or info["redis_version"]),
        role=str(info["role"]),
        memory_used=int(info["used_memory"]),
        memory_limit=int(info["maxmemory"]),
        eviction=str(info["maxmemory_policy"]),
        append_only=bool(info["aof_enabled"]),
        last_write_ok=info.get("aof_last_write_status", "ok") == "ok",
        fsync=await _fsync(redis),
        replicas=int(info.get("connected_slaves", 0)),
        allocator=str(info["mem_allocator"]) if "mem_allocator" in info else None,
        clock_ahead=(asked + answered) / 2 - (int(seconds) + int(micros) / 1e6),
        round_trip=min(asked - began, answered - asked),
    )


async def _fsync(redis: RedisClient) -> str | None:
    """Return the setting `appendfsync`, or None on a managed Redis that refuses CONFIG."""
    with mapped(redis.server, "config get"):
        try:
            found = await redis.client.config_get("appendfsync")
        except ResponseError:
            return None
    return str(found.get("appendfsync", "")) or None
