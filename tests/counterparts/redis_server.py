"""A private Valkey or Redis: real, quick to start, and free to be killed, frozen or filled."""

import shutil
import socket
from contextlib import suppress
from pathlib import Path

import redis

from tests.counterparts.ports import free_port
from tests.counterparts.server import Server
from worker.ledger.connection.embedded_redis import server_binary

#: A server that was killed in the middle of a reply may leave a half-open line for so long (seconds).
ANSWER_SECONDS = 5.0
#: Where the server keeps its append-only files, as it calls it by itself.
_APPEND_ONLY = "appendonlydir"


class RedisServer(Server):
    """One server, with an append-only file of what was written to it.

    Options are the server's own, with underscores: `RedisServer(maxmemory="8mb")`.
    """

    name = "redis"

    def __init__(self, **options: str | int) -> None:
        super().__init__()
        self._socket = str(self._folder / "s")
        self.port = free_port()
        always: dict[str, str | int] = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": self._socket,
            "dir": str(self._folder),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            # A replica of a test joins at once, not after the pause that is meant for fleets of them.
            "repl-diskless-sync-delay": 0,
        }
        self._options = always | {name.replace("_", "-"): value for name, value in options.items()}

    @property
    def url(self) -> str:
        """The server over its socket."""
        return f"unix://{self._socket}?db=0"

    @property
    def tcp_url(self) -> str:
        """The server over loopback."""
        return self.url_at(self.port)

    @staticmethod
    def url_at(port: int) -> str:
        """The server by a port that leads to it."""
        return f"redis://127.0.0.1:{port}/0"

    def clear(self) -> None:
        """Empties the server."""
        if not self._ask("FLUSHALL").startswith(b"+OK"):
            raise RuntimeError("Redis could not be emptied")

    def client(self) -> redis.Redis:
        """A plain client of the server, to be closed."""
        return redis.Redis.from_url(self.url, password=self._options.get("requirepass"), socket_timeout=ANSWER_SECONDS)

    def limit_memory(self, limit: int | str) -> None:
        """From now on the server takes no more than so much (bytes, or a text such as `8mb`); 0 removes the limit."""
        with self.client() as client:
            client.config_set("maxmemory", limit)

    def used_memory(self) -> int:
        """Return what is in use (bytes)."""
        with self.client() as client:
            return int(client.info("memory")["used_memory"])

    def permit(self, command: str, may: bool) -> None:
        """Let everybody call a command, or nobody."""
        with self.client() as client:
            client.execute_command("ACL", "SETUSER", "default", f"{'+' if may else '-'}{command}")

    def forget_scripts(self) -> None:
        """Forget every script that was loaded."""
        with self.client() as client:
            client.script_flush()

    def copy(self, to: Path) -> None:
        """Copies what is on disk now, as a backup does."""
        shutil.copytree(self._folder / _APPEND_ONLY, to)

    def restore(self, copy: Path) -> None:
        """Ends the server, and starts it with what a copy has."""
        self.kill()
        shutil.rmtree(self._folder / _APPEND_ONLY)
        shutil.copytree(copy, self._folder / _APPEND_ONLY)
        self.start()

    def _launch(self) -> None:
        words = (word for name, value in self._options.items() for word in (f"--{name}", str(value)))
        self._spawn(server_binary(), *words)

    def _ended(self) -> None:
        Path(self._socket).unlink(missing_ok=True)

    def _answers(self) -> bool:
        with suppress(OSError):
            return self._ask("PING").startswith(b"+PONG")
        return False

    def _ask(self, command: str) -> bytes:
        return ask(self._socket, command, str(self._options.get("requirepass", "")))


def ask(path: str, command: str, password: str = "") -> bytes:
    """Send one command to the server at a unix socket, and return the start of its reply. Raise `OSError`."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_SECONDS)
        line.connect(path)
        if password:
            line.sendall(f"AUTH {password}\r\n".encode())
            line.recv(64)
        line.sendall(f"{command}\r\n".encode())
        return line.recv(64)
