"""The connection to Redis: calls of its scripts, and plain reads. sync_redis_client.py has it without an event loop."""

import re
from collections.abc import Collection, Mapping, Sequence
from time import monotonic
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from worker.ledger.connection.call_observer import NO_OBSERVER, CallObserver, observing
from worker.ledger.connection.permissions import EVERYTHING, missing, probes
from worker.ledger.connection.redis_connections import SOCKET_TIMEOUT, aclose, address_of, async_client, user_of
from worker.ledger.connection.scripts import script
from worker.ledger.key_names import intake_list
from worker.ledger.ledger_errors import (
    LedgerForbidden,
    LedgerFormatError,
    LedgerFull,
    LedgerUnavailable,
    Server,
    mapped,
)
from worker.ledger.policy import LedgerPolicy

#: The ledger's format; a process refuses one that is newer.
FORMAT = 1
#: The oldest server whose scripts have flags.
OLDEST_SERVER = (7, 0)
#: Calls that a process has under way at once; further ones wait for up to SOCKET_TIMEOUT.
MAX_CONNECTIONS = 16
#: Keys that one step of a scan looks at.
SCAN_COUNT = 500
#: How long an answer waits for replicas (ms).
REPLICA_WAIT = 1000
#: Redis' memory is looked at once in so many seconds.
MEMORY_SAMPLE_SECONDS = 1.0

# Arguments hold text, never bytes: the cmsgpack of Redis 7 does not know msgpack's binary types.
_encode = msgspec.msgpack.Encoder().encode


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _escaped(prefix: str) -> str:
    """A key's beginning, as a pattern that matches itself alone."""
    return re.sub(r"([\\*?[\]^])", r"\\\1", prefix)


class RedisClientBase:
    """What both kinds of connection know: names, the water mark, what they demand of the server."""

    def __init__(self, url: str, shard: str, policy: LedgerPolicy) -> None:
        self.server = Server(address_of(url), user_of(url))
        self.prefix = f"edw:{{{shard}}}:"
        self.intake = intake_list(shard)
        self.policy = policy
        self._sampled_at = -MEMORY_SAMPLE_SECONDS
        self._over_water = ""

    @property
    def address(self) -> str:
        """Where the store is, without its password."""
        return self.server.address

    def key(self, name: str) -> str:
        """A key's full name."""
        return self.prefix + name

    def packed(self, arguments: Mapping[str, object]) -> bytes:
        """A script's arguments, with what every script may need."""
        return _encode({"lane_cap": self.policy.lane_cap, **arguments})

    def _memory_is_due(self) -> bool:
        return monotonic() - self._sampled_at >= MEMORY_SAMPLE_SECONDS

    def _note_memory(self, info: Mapping[str, Any]) -> None:
        self._sampled_at = monotonic()
        used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
        share = used / limit if limit else 0.0
        self._over_water = ""
        if share > self.policy.memory_high_water:
            self._over_water = (
                f"Redis at {self.address} uses {share:.0%} of its memory limit; events are accepted again "
                f"below {self.policy.memory_high_water:.0%}"
            )

    def _refuse_over_water(self) -> None:
        if self._over_water:
            raise LedgerFull(self._over_water)

    def _check_replicas(self, reached: int) -> None:
        wanted = self.policy.wait_replicas
        if reached < wanted:
            raise LedgerUnavailable(f"only {reached} of {wanted} replicas confirmed the write within {REPLICA_WAIT} ms")

    def _probes(self, needed: Collection[str]) -> dict[str, Any]:
        """The arguments of the script that asks what this user may run."""
        return {"commands": probes(needed, self.prefix, self.intake, wait=bool(self.policy.wait_replicas))}

    def _check_permitted(self, denied: Sequence[bytes]) -> None:
        if denied:
            raise LedgerForbidden(
                f"the store at {self.address} does not let the user {self.server.user} run the commands "
                f"{missing(denied)} on the keys {self.prefix}* and {self.intake}; deploy/redis-users.acl has what a "
                "user needs"
            )

    def _check_version(self, info: Mapping[str, Any]) -> None:
        version = str(info.get("valkey_version") or info.get("redis_version"))
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
            raise LedgerFormatError(f"Redis at {self.address} is version {version}; 7.0 or later is needed")

    def _check_format(self, written: int) -> None:
        if written > FORMAT:
            raise LedgerFormatError(
                f"the ledger at {self.address} has format {written}, and this version knows {FORMAT}: "
                "update this process"
            )


class RedisClient(RedisClientBase):
    """The asynchronous connection of a worker, the API or the command line."""

    def __init__(self, url: str, shard: str, policy: LedgerPolicy, observer: CallObserver = NO_OBSERVER) -> None:
        super().__init__(url, shard, policy)
        self._observer = observer
        self.client = async_client(url, MAX_CONNECTIONS, SOCKET_TIMEOUT)
        #: The server's own name for its present life.
        self._run_id = ""

    async def open(self, needed: Collection[str] = EVERYTHING) -> None:
        """Check that Redis answers, that this user may run what is needed, and that the ledger is of this version.

        Raises LedgerUnavailable, LedgerForbidden and LedgerFormatError.
        """
        with mapped(self.server):
            info = await self.client.info("server")
            self._check_version(info)
            await self.check_permitted(needed)
            written = await self.client.hget(self.key("meta"), "format")
            if written is None:
                await self.client.hset(self.key("meta"), "format", str(FORMAT))
        self._check_format(int(written or FORMAT))
        self._run_id = str(info["run_id"])

    async def check_permitted(self, needed: Collection[str] = EVERYTHING) -> None:
        """Raises LedgerForbidden where this user may not run what is needed."""
        self._check_permitted(await self.run("permitted", **self._probes(needed)))

    async def restarted(self) -> bool:
        """True where this is not the server that was opened: it was restarted, or another took its place."""
        with mapped(self.server):
            return str((await self.client.info("server"))["run_id"]) != self._run_id

    async def close(self) -> None:
        """Closes the connections."""
        await aclose(self.client)

    async def run(self, name: str, **arguments: object) -> Any:
        """Calls a script with its named arguments; answers what it answers, msgpack undecoded."""
        called = script(name)
        packed = self.packed(arguments)
        with observing(self._observer, name), mapped(self.server, f"script {name}"):
            try:
                return await self.client.evalsha(called.digest, 1, self.prefix, packed)
            except NoScriptError:
                return await self.client.eval(called.source, 1, self.prefix, packed)

    async def refuse_over_water(self) -> None:
        """Raises LedgerFull where Redis' memory is above the high-water mark."""
        if self._memory_is_due():
            with mapped(self.server):
                self._note_memory(await self.client.info("memory"))
        self._refuse_over_water()

    async def call(self, command: str, key: str, *arguments: object, **options: object) -> Any:
        """One plain command on one of the ledger's keys."""
        with mapped(self.server, command):
            return await getattr(self.client, command)(self.key(key), *arguments, **options)

    async def atomically(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Several commands, (name, key, arguments …) each, as of one moment."""
        pipe = self.client.pipeline(transaction=True)
        for name, key, *arguments in commands:
            pipe.execute_command(name.upper(), self.key(key), *arguments)
        with mapped(self.server):
            return list(await pipe.execute())

    async def hashes(self, keys: Sequence[str], *fields: str) -> list[dict[str, str]]:
        """Hashes (or only the named fields of them) in one round trip; {} for one that is not there."""
        if not keys:
            return []
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            if fields:
                pipe.hmget(self.key(key), list(fields))
            else:
                pipe.hgetall(self.key(key))
        with mapped(self.server):
            found = await pipe.execute()
        if fields:
            found = [{f: v for f, v in zip(fields, row, strict=True) if v is not None} for row in found]
        return [{_text(name): _text(value) for name, value in row.items()} for row in found]

    async def scan(self, pattern: str, cursor: int) -> tuple[int, list[str]]:
        """Some of the ledger's keys of a pattern, without what is before its star, and the next cursor (0: none)."""
        with mapped(self.server):
            following, keys = await self.client.scan(cursor, match=_escaped(self.prefix) + pattern, count=SCAN_COUNT)
        skip = len(self.key(pattern.partition("*")[0]))
        return int(following), [_text(key)[skip:] for key in keys]

    async def newest(self, index: str, offset: int, limit: int) -> list[str]:
        """A page of a time-scored index, the newest first."""
        found = await self.call("zrevrange", index, offset, offset + limit - 1)
        return [member.decode() for member in found]

    async def now(self) -> int:
        """Redis' clock, in milliseconds."""
        with mapped(self.server):
            seconds, micros = await self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def memory(self) -> Mapping[str, Any]:
        """Redis' own account of its memory."""
        with mapped(self.server):
            return dict(await self.client.info("memory"))

    async def run_confirmed(self, name: str, **arguments: object) -> Any:
        """run(), and as many replicas as the settings ask for have it before this answers."""
        if not self.policy.wait_replicas:
            return await self.run(name, **arguments)
        # WAIT speaks of its own connection's writes, so both travel on one.
        pipe = self.client.pipeline(transaction=False)
        pipe.eval(script(name).source, 1, self.prefix, self.packed(arguments))
        pipe.execute_command("WAIT", self.policy.wait_replicas, REPLICA_WAIT)
        with observing(self._observer, name), mapped(self.server, f"script {name}"):
            answer, reached = await pipe.execute()
        self._check_replicas(reached)
        return answer
