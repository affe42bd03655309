"""The connection to Redis for callers without an event loop: the part that a producer needs."""

from collections.abc import Collection
from typing import Any

from redis.exceptions import NoScriptError

from worker.ledger.connection.permissions import PUBLISHER
from worker.ledger.connection.redis_client import REPLICA_WAIT, RedisClientBase
from worker.ledger.connection.redis_connections import close, sync_client
from worker.ledger.connection.scripts import script
from worker.ledger.policy import LedgerPolicy
from worker.ledger.redis_errors import mapped


class SyncRedisClient(RedisClientBase):
    """The synchronous client of a producer."""

    def __init__(self, url: str, shard: str, policy: LedgerPolicy) -> None:
        super().__init__(url, shard, policy)
        self.client = sync_client(url)

    def open(self, needed: Collection[str] = PUBLISHER) -> None:
        """Check the server as RedisClient.open() does, by default for the commands that a producer needs."""
        with mapped(self.server):
            info = self.client.info("server")
            self._check_version(info)
            self._check_permitted(self.run("permitted", **self._probes(needed)))
        self.run("now")

    def close(self) -> None:
        """Close the connections."""
        close(self.client)

    def run(self, name: str, **arguments: Any) -> Any:
        """Call a script; see RedisClient.run()."""
        called = script(name)
        given = self.given(arguments)
        with mapped(self.server, f"script {name}"):
            try:
                return self.client.evalsha(called.digest, 1, self.prefix, *given)
            except NoScriptError:
                return self.client.eval(called.source, 1, self.prefix, *given)

    def refuse_over_water(self) -> None:
        """Raise LedgerFull if Redis's memory is above the high-water mark."""
        if self._memory_is_due():
            with mapped(self.server):
                self._note_memory(self.client.info("memory"))
        self._refuse_over_water()

    def run_confirmed(self, name: str, **arguments: Any) -> Any:
        """Call a script and wait for replicas; see RedisClient.run_confirmed()."""
        if not self.policy.wait_replicas:
            return self.run(name, **arguments)
        pipe = self.client.pipeline(transaction=False)
        pipe.eval(script(name).source, 1, self.prefix, *self.given(arguments))
        pipe.execute_command("WAIT", self.policy.wait_replicas, REPLICA_WAIT)
        with mapped(self.server, f"script {name}"):
            answer, reached = pipe.execute()
        self._check_replicas(reached)
        return answer
