"""The connection to Redis: calls of scripts, and plain reads. sync_redis_client.py is for callers without a loop."""

import re
from collections.abc import Collection, Mapping, Sequence
from time import monotonic, perf_counter
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from worker.ledger.connection.call_observer import NO_OBSERVER, CallObserver, observing
from worker.ledger.connection.permissions import EVERYTHING, missing, probes
from worker.ledger.connection.pipelined_client import PipelinedClient
from worker.ledger.connection.redis_connections import SOCKET_TIMEOUT, aclose, address_of, async_client, user_of
from worker.ledger.connection.scripts import script
from worker.ledger.key_names import intake_list
from worker.ledger.ledger_errors import (
    LedgerForbidden,
    LedgerFormatError,
    LedgerFull,
    LedgerUnavailable,
    Server,
)
from worker.ledger.policy import LedgerPolicy
from worker.ledger.redis_errors import FOREIGN, mapped, named

#: The oldest server whose scripts have flags.
OLDEST_SERVER = (7, 0)
#: Plain commands and transactions that a process may have under way at once; further ones wait for up to
#: SOCKET_TIMEOUT. Scripts share one connection, and none of them waits for another's reply.
MAX_CONNECTIONS = 16
#: Keys that one step of a scan looks at.
SCAN_COUNT = 500
#: How long a write waits for replicas (ms).
REPLICA_WAIT = 1000
#: The interval between two checks of Redis's memory (seconds).
MEMORY_SAMPLE_SECONDS = 1.0

# Arguments hold text, never bytes: the cmsgpack of Redis 7 does not know msgpack's binary types.
_encode = msgspec.msgpack.Encoder().encode


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _escaped(prefix: str) -> str:
    """Escape a key's prefix, so that as a pattern it matches only itself."""
    return re.sub(r"([\\*?[\]^])", r"\\\1", prefix)


class RedisClientBase:
    """The common part of both clients: names of keys, the high-water mark, checks of the server."""

    def __init__(self, url: str, shard: str, policy: LedgerPolicy) -> None:
        self.server = Server(address_of(url), user_of(url))
        self.prefix = f"edw:{{{shard}}}:"
        self.intake = intake_list(shard)
        self.policy = policy
        self._sampled_at = -MEMORY_SAMPLE_SECONDS
        self._over_water = ""
        #: The bytes that Redis uses, and may use (0 is no limit).
        self._used = self._limit = 0

    @property
    def address(self) -> str:
        """The address of Redis, without a password."""
        return self.server.address

    def key(self, name: str) -> str:
        """Return a key's full name."""
        return self.prefix + name

    def packed(self, arguments: Mapping[str, object]) -> bytes:
        """Encode a script's arguments, and add those that every script may need."""
        return _encode({"lane_cap": self.policy.lane_cap, **arguments})

    def given(self, arguments: dict[str, Any]) -> list[bytes]:
        """Return the arguments of a call: the map of `arguments`, then its `blobs`, which are bytes."""
        blobs: Sequence[bytes] = arguments.pop("blobs", ())
        return [self.packed(arguments), *blobs]

    def _memory_is_due(self) -> bool:
        return monotonic() - self._sampled_at >= MEMORY_SAMPLE_SECONDS

    def _note_memory(self, info: Mapping[str, Any]) -> None:
        self._sampled_at = monotonic()
        self._used, self._limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
        share = self._used / self._limit if self._limit else 0.0
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
        """Return the arguments of the script that checks what this user may run."""
        return {"commands": probes(needed, self.prefix, self.intake, wait=bool(self.policy.wait_replicas))}

    def _check_permitted(self, denied: Sequence[bytes]) -> None:
        if denied:
            raise LedgerForbidden(
                f"Redis at {self.address} does not let the user {self.server.user} run the commands "
                f"{missing(denied)} on the keys {self.prefix}* and {self.intake}; deploy/redis-users.acl has what a "
                "user needs"
            )

    def _check_version(self, info: Mapping[str, Any]) -> None:
        version = str(info.get("valkey_version") or info.get("redis_version"))
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
            raise LedgerFormatError(f"Redis at {self.address} is version {version}; 7.0 or later is needed")


class RedisClient(RedisClientBase):
    """The asynchronous client of a worker, the API or the command line."""

    def __init__(self, url: str, shard: str, policy: LedgerPolicy, observer: CallObserver = NO_OBSERVER) -> None:
        super().__init__(url, shard, policy)
        self.observer = observer
        self.client = async_client(url, MAX_CONNECTIONS, SOCKET_TIMEOUT)
        self._scripts = PipelinedClient(self.client, SOCKET_TIMEOUT)
        #: The id that the server gave itself when it started.
        self._run_id = ""

    async def open(self, needed: Collection[str] = EVERYTHING) -> None:
        """Check that Redis answers, that this user may run the commands, and how old it is.

        Raises LedgerUnavailable, LedgerForbidden and LedgerFormatError.
        """
        with mapped(self.server):
            info = await self.client.info("server")
            self._check_version(info)
            await self.check_permitted(needed)
        self._run_id = str(info["run_id"])

    async def check_permitted(self, needed: Collection[str] = EVERYTHING) -> None:
        """Raise LedgerForbidden if this user may not run a command that is needed."""
        self._check_permitted(await self.run("permitted", **self._probes(needed)))

    async def restarted(self) -> bool:
        """Return whether the server was restarted, or replaced by another one, since it was opened."""
        with mapped(self.server):
            return str((await self.client.info("server"))["run_id"]) != self._run_id

    async def close(self) -> None:
        """Close the connections."""
        await self._scripts.close()
        await aclose(self.client)

    async def run(self, name: str, **arguments: Any) -> Any:
        """Call a script with named arguments; return its reply, with msgpack undecoded.

        The argument `blobs` is a sequence of bytes, which the script gets behind all others.
        """
        called = script(name)
        given = self.given(arguments)
        # What observing() and mapped() do: as generators, they would take a tenth of this process's time for a call.
        began = perf_counter()
        try:
            try:
                return await self._scripts.call(b"EVALSHA", called.digest, 1, self.prefix, *given)
            except NoScriptError:
                return await self._scripts.call(b"EVAL", called.source, 1, self.prefix, *given)
        except Exception as error:
            self.observer.failed(name)
            if isinstance(error, FOREIGN):
                raise named(error, self.server, f"script {name}") from error
            raise
        finally:
            self.observer.observed(name, perf_counter() - began)

    def another_connection(self) -> PipelinedClient:
        """Return a client with a connection of its own, for calls that wait; its errors are those of redis-py."""
        return PipelinedClient(self.client, SOCKET_TIMEOUT)

    async def refuse_over_water(self) -> None:
        """Raise LedgerFull if Redis's memory is above the high-water mark."""
        await self._sample_memory()
        self._refuse_over_water()

    async def backlog_share(self) -> int:
        """Return the bytes that all backlogs together may take; 0 if Redis uses less than that, or has no limit."""
        await self._sample_memory()
        share = round(self._limit * self.policy.backlog_memory)
        return share if self._used > share else 0

    async def _sample_memory(self) -> None:
        if self._memory_is_due():
            with mapped(self.server):
                self._note_memory(await self.client.info("memory"))

    async def call(self, command: str, key: str, *arguments: object, **options: object) -> Any:
        """Run one plain command on one of the ledger's keys."""
        with mapped(self.server, command):
            return await getattr(self.client, command)(self.key(key), *arguments, **options)

    async def atomically(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run several commands, each (name, key, arguments …), in one transaction."""
        pipe = self.client.pipeline(transaction=True)
        for name, key, *arguments in commands:
            pipe.execute_command(name.upper(), self.key(key), *arguments)
        with mapped(self.server):
            return list(await pipe.execute())

    async def hashes(self, keys: Sequence[str], *fields: str) -> list[dict[str, str]]:
        """Return hashes, or only the named fields of them, in one round trip; {} for a missing hash."""
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
        """Return the next cursor (0 at the end) and some of the ledger's keys that match a pattern.

        The keys are returned without the part before the pattern's star.
        """
        with mapped(self.server):
            following, keys = await self.client.scan(cursor, match=_escaped(self.prefix) + pattern, count=SCAN_COUNT)
        skip = len(self.key(pattern.partition("*")[0]))
        return int(following), [_text(key)[skip:] for key in keys]

    async def newest(self, index: str, offset: int, limit: int) -> list[str]:
        """Return a page of a time-scored index, the newest first."""
        found = await self.call("zrevrange", index, offset, offset + limit - 1)
        return [member.decode() for member in found]

    async def now(self) -> int:
        """Return the ledger's time (ms)."""
        return int(await self.run("now"))

    async def memory(self) -> Mapping[str, Any]:
        """Return the section `memory` of Redis's INFO."""
        with mapped(self.server):
            return dict(await self.client.info("memory"))

    async def run_confirmed(self, name: str, **arguments: Any) -> Any:
        """Call a script as run() does, and wait for as many replicas as the settings require.

        Raises LedgerUnavailable if too few replicas confirm the write in time.
        """
        if not self.policy.wait_replicas:
            return await self.run(name, **arguments)
        # WAIT covers only the writes of its own connection, so both commands use one.
        pipe = self.client.pipeline(transaction=False)
        pipe.eval(script(name).source, 1, self.prefix, *self.given(arguments))
        pipe.execute_command("WAIT", self.policy.wait_replicas, REPLICA_WAIT)
        with observing(self.observer, name), mapped(self.server, f"script {name}"):
            answer, reached = await pipe.execute()
        self._check_replicas(reached)
        return answer
