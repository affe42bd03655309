"""The Redis commands that the ledger needs, and the check that this user may run them.

If Redis refuses a command in the middle of a script, half of the script's writes are done. So a process checks first,
when it opens the ledger, with `redis.acl_check_cmd`, which any user with EVAL may call. deploy/redis-users.acl lists
the same commands for operators.
"""

from collections.abc import Iterable, Sequence

#: For every connection: the check itself, the server's version, the ledger's format and its time.
_ALWAYS = frozenset({"eval", "evalsha", "hget", "hmget", "hset", "info", "time"})
#: For the script `accept`.
PUBLISHER = _ALWAYS | {"del", "hincrby", "llen", "mget", "mset", "rpush", "smismember", "zadd"}
#: For workers, the API and the command line.
EVERYTHING = PUBLISHER | {
    "setrange",
    *("append", "bitfield", "blmove", "blmpop", "exec", "exists", "get", "getrange", "hdel", "hgetall", "hsetnx"),
    *("incr", "incrby", "lindex", "lmove", "lpop", "lpush", "lrange", "lrem", "lset", "ltrim", "multi", "persist"),
    *("pexpire", "sadd", "scan", "scard", "set", "sismember", "smembers", "srandmember", "srem", "sscan", "strlen"),
    *("unlink", "zcard", "zcount", "zmscore", "zpopmax", "zpopmin", "zrange", "zrank", "zrem", "zremrangebyscore"),
    *("zrevrange", "zscan", "zscore"),
}

_NO_KEY = frozenset({"exec", "info", "multi", "scan", "time", "wait"})


def probes(commands: Iterable[str], prefix: str, intake: str, *, wait: bool) -> list[list[str]]:
    """Return each command to check with the keys that it is used on; `wait` adds the command WAIT."""
    # A key that a producer may use as well.
    key = f"{prefix}inbox"
    asked = [_probe(name, prefix, key) for name in sorted(commands)]
    # These read the plain queue.
    asked += [[name, intake, key] for name in ("blmove", "lmove") if name in commands]
    return asked + ([["wait", "0", "0"]] if wait else [])


def missing(denied: Sequence[bytes]) -> str:
    """Return the names of the denied commands, each once."""
    return ", ".join(dict.fromkeys(each.decode() for each in denied))


def _probe(name: str, prefix: str, key: str) -> list[str]:
    if name in _NO_KEY:
        return [name, "0"] if name == "scan" else [name]
    if name in ("eval", "evalsha"):
        return [name, "0", "1", prefix]
    if name == "blmpop":
        return [name, "0", "1", key, "LEFT"]
    return [name, key, key] if name in ("blmove", "lmove") else [name, key]
