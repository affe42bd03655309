"""A private Valkey or Redis: real, quick to start, and free to be killed, frozen or filled."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from worker.embedded import server_binary

#: A busy machine may take its time (seconds).
START_SECONDS = 60.0
STOP_SECONDS = 20.0
#: A server that was killed in the middle of a reply may leave a half-open line for so long (seconds).
ANSWER_SECONDS = 5.0
#: Where the server keeps its append-only files, as it calls it by itself.
_APPEND_ONLY = "appendonlydir"


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class StoreServer:
    """One server with its data in a folder of its own; it keeps its addresses and its data over restarts.

    Options are the server's own, with underscores: `StoreServer(maxmemory="8mb")`.
    """

    def __init__(self, **options: str | int) -> None:
        # A socket's path has 107 bytes at most, which pytest's folders may exceed.
        self._folder = Path(tempfile.mkdtemp(prefix="edw-test-"))
        self._socket = str(self._folder / "s")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        always: dict[str, str | int] = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": self._socket,
            "dir": str(self._folder),
            "logfile": str(self._folder / "log"),
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
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """True while the process lives, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts the server, and answers once it has read its data and speaks."""
        words = (word for name, value in self._options.items() for word in (f"--{name}", str(value)))
        self._process = subprocess.Popen(
            [server_binary(), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = monotonic() + START_SECONDS
        while not self._speaks():
            if self._process.poll() is not None or monotonic() > end:
                self.kill()
                raise RuntimeError(f"the store did not start:\n{self._log()}")
            sleep(0.005)
        return self

    def stop(self) -> None:
        """Ends the server as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops and starts it, with what it has on disk."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """The server goes on listening, and says nothing more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen server go on."""
        self._signal(signal.SIGCONT)

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

    def remove(self) -> None:
        """Ends the server and removes what it wrote."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _signal(self, number: int) -> None:
        if self.running and self._process is not None:
            os.kill(self._process.pid, number)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._signal(number)
        # One that is frozen could not be told.
        self.thaw()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        Path(self._socket).unlink(missing_ok=True)

    def _speaks(self) -> bool:
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

    def _log(self) -> str:
        with suppress(OSError):
            return (self._folder / "log").read_text(errors="replace")[-1000:]
        return "(no log)"
