"""A private Valkey or Redis: real, quick to start, and free to be killed, frozen or filled."""

import shutil
import socket
from contextlib import suppress
from pathlib import Path
from random import randrange

from tests.counterparts.server import Server
from worker.ledger.connection.embedded_redis import server_binary

#: Below those that Linux, macOS and Windows take for outgoing connections.
PORTS = (20_000, 32_000)
#: A server that was killed in the middle of a reply may leave a half-open line for so long (seconds).
ANSWER_SECONDS = 5.0
#: Where the server keeps its append-only files, as it calls it by itself.
_APPEND_ONLY = "appendonlydir"


def free_port() -> int:
    """A TCP port of loopback that nobody uses now, and that no system gives away by itself for a connection."""
    while True:
        port = randrange(*PORTS)
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


class StoreServer(Server):
    """One store, with a file of what was written to it.

    Options are the server's own, with underscores: `StoreServer(maxmemory="8mb")`.
    """

    name = "store"

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

    def restart(self) -> None:
        """Stops and starts it, with what it has on disk."""
        self.stop()
        self.start()

    def clear(self) -> None:
        """Empties the server."""
        if not self._ask("FLUSHALL").startswith(b"+OK"):
            raise RuntimeError("the store could not be emptied")

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
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_SECONDS)
            line.connect(self._socket)
            if password := self._options.get("requirepass"):
                line.sendall(f"AUTH {password}\r\n".encode())
                line.recv(64)
            line.sendall(f"{command}\r\n".encode())
            return line.recv(64)
