"""A private Redis server for a contestant: the embedded binary on a unix socket, with its append-only file."""

from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from tests.benchmarks.processes import START_SECONDS, ProcessEnded, Program
from tests.counterparts.redis_server import ask
from worker.ledger.connection.embedded_redis import server_binary

#: Between two looks whether a starting server answers (seconds): it has nothing that could be awaited.
_LOOK_SECONDS = 0.01


class PrivateRedis:
    """One server, with `more` options of its own.

    `folder` must be new, and short: the path of a socket has 107 bytes at most.
    """

    def __init__(self, folder: Path, appendfsync: str, **more: str) -> None:
        folder.mkdir()
        self.path = folder / "s"
        options = {
            "port": "0",
            "unixsocket": str(self.path),
            "unixsocketperm": "700",
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            **more,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.program = Program(f"Redis in {folder}", [server_binary(), *words], folder / "log")

    @property
    def url(self) -> str:
        """As redis-py names it."""
        return f"unix://{self.path}?db=0"

    @property
    def broker_url(self) -> str:
        """As kombu names it."""
        return f"redis+socket://{self.path}?virtual_host=0"

    def start(self) -> None:
        """Waits until it answers. Raises ProcessEnded."""
        end = monotonic() + START_SECONDS
        while not self._answers():
            self.program.check()
            if monotonic() > end:
                raise ProcessEnded(f"{self.program.name} does not answer:\n{self.program.tail()}")
            sleep(_LOOK_SECONDS)

    def _answers(self) -> bool:
        with suppress(OSError):
            return ask(str(self.path), "PING").startswith(b"+PONG")
        return False
