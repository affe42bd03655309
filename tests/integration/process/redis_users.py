"""The users of deploy/redis-users.acl, on a Redis server of a test."""

from pathlib import Path
from typing import Any

import redis

from tests.counterparts.redis_server import RedisServer

FILE = Path(__file__).parents[3] / "deploy" / "redis-users.acl"
PASSWORD = "change-me"


def users() -> dict[str, list[str]]:
    """The rules of each user."""
    lines = [line.split() for line in FILE.read_text().splitlines() if line.startswith("user ")]
    return {name: rules for _, name, *rules in lines}


def url_of(redis_server: RedisServer, user: str) -> str:
    return f"redis://{user}:{PASSWORD}@127.0.0.1:{redis_server.port}/0"


class Acl:
    """The users of a Redis server; the test itself is the default user, who may do anything."""

    def __init__(self, redis_server: RedisServer) -> None:
        self._client = redis.Redis.from_url(redis_server.url)

    def load(self) -> None:
        for name, rules in users().items():
            self.set(name, "reset", *rules)

    def set(self, name: str, *rules: str) -> None:
        self._client.execute_command("ACL", "SETUSER", name, *rules)

    def refused(self) -> list[tuple[str, str]]:
        """What was denied, and to whom."""
        found: list[dict[str, Any]] = self._client.acl_log()
        return [(str(each["username"]), str(each["object"])) for each in found]

    def forget(self) -> None:
        self._client.acl_log_reset()

    def close(self) -> None:
        self._client.close()
