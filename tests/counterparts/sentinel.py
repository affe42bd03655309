"""A master, its replicas and three Sentinels that watch them: real ones, quick to fail over."""

from typing import Any

import redis

from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import ANSWER_SECONDS, RedisServer
from tests.counterparts.server import Server
from tests.waiting import wait_until
from worker.ledger.connection.embedded_redis import server_binary

SERVICE = "mymaster"
SENTINELS = 3
QUORUM = 2
#: What the Redis servers ask for. The Sentinels have a password of their own.
PASSWORD = "planted-secret-of-redis"
SENTINEL_PASSWORD = "planted-secret-of-the-sentinels"
#: A master that says nothing for so long is held to be down (seconds).
DOWN_AFTER = 0.3
#: An attempt to replace it may take so long (ms).
FAILOVER_TIMEOUT = 2_000


class SentinelTrio(Server):
    """Redis servers under watch: a replica takes over from a killed or frozen master after `down_after` seconds."""

    name = "sentinel"

    def __init__(self, replicas: int = 2, down_after: float = DOWN_AFTER) -> None:
        super().__init__()
        self._down_after = round(1000 * down_after)
        login: dict[str, str | int] = {"requirepass": PASSWORD, "masterauth": PASSWORD}
        first = RedisServer(**login)
        following = [RedisServer(**login, replicaof=f"127.0.0.1 {first.port}") for _ in range(replicas)]
        #: The master comes first, until another takes its place.
        self.servers = [first, *following]
        self._ports = [free_port() for _ in range(SENTINELS)]

    @property
    def url(self) -> str:
        """As EDW_REDIS_URL names them."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"sentinel://:{PASSWORD}@{hosts}/0?service={SERVICE}&sentinel_password={SENTINEL_PASSWORD}"

    def kill_first_sentinel(self) -> None:
        """The one that clients ask first goes, as with its machine."""
        self._processes[0].kill()
        self._processes[0].wait()

    def has_failed_over(self) -> bool:
        """True once the Sentinels name another master, and a replica follows it."""
        port = self._state(self._ports[-1])["port"]
        if port == self.servers[0].port:
            return False
        with redis.Redis(port=port, password=PASSWORD, socket_timeout=ANSWER_SECONDS) as master:
            info = master.info("replication")
        return bool(info["role"] == "master" and info["connected_slaves"])

    def remove(self) -> None:
        """Ends all, and removes what they wrote."""
        super().remove()
        for redis_server in self.servers:
            redis_server.remove()

    def _launch(self) -> None:
        for redis_server in self.servers:
            redis_server.start()
        with redis.Redis(port=self.servers[0].port, password=PASSWORD, socket_timeout=ANSWER_SECONDS) as first:
            # A Sentinel asks a master for its replicas only now and then.
            wait_until(
                lambda: first.info("replication")["connected_slaves"] == len(self.servers) - 1,
                "the replicas follow",
            )
        for port in self._ports:
            self._watch(port)

    def _answers(self) -> bool:
        """Once all know each other."""
        return all(self._is_complete(port) for port in self._ports)

    def _watch(self, port: int) -> None:
        folder = self._folder / str(port)
        folder.mkdir()
        # A Sentinel writes what it learns into its file.
        file = folder / "sentinel.conf"
        lines = (
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"logfile {folder / 'log'}",
            f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0].port} {QUORUM}",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT}",
            f"sentinel parallel-syncs {SERVICE} {len(self.servers)}",
        )
        file.write_text("\n".join(lines) + "\n")
        self._spawn(server_binary(), str(file), "--sentinel")

    def _is_complete(self, port: int) -> bool:
        try:
            state = self._state(port)
        except redis.ConnectionError:
            return False
        known = (state["num-slaves"], state["num-other-sentinels"])
        return known == (len(self.servers) - 1, SENTINELS - 1) and bool(state["is_master"])

    def _state(self, port: int) -> dict[str, Any]:
        with redis.Redis(port=port, password=SENTINEL_PASSWORD, socket_timeout=ANSWER_SECONDS) as sentinel:
            return dict(sentinel.sentinel_master(SERVICE))
