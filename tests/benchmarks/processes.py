"""The processes of a benchmark: started in sessions of their own, talked to by lines, accounted for, and ended.

Each one is ended by its own process group, which nothing else is in, so that an interrupted run leaves nothing behind.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import psutil
from yarl import URL

from tests.sessions import kill_group, spawn

#: How long a process may take to end by itself, before its group is killed (seconds).
STOP_SECONDS = 8.0
#: How long a process may take until it says its first line (seconds): machines are busy.
START_SECONDS = 60.0
#: Between two looks at a log (seconds).
_LOOK_SECONDS = 0.05
#: Characters of a log that are shown where its process ended by itself.
_TAIL = 2000


class ProcessEnded(Exception):
    """A process of the benchmark is gone or silent; the text has the end of what it said."""


class Program:
    """One started process; its output goes to a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        self.name = name
        self._log = log
        self._process = spawn(command, log, environment, talks=talks)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time so far, of the process and of all its children, those that have ended included."""
        root = psutil.Process(self.pid)
        total = 0.0
        for process in (root, *root.children(recursive=True)):
            # A child that ends in between is in its parent's account by then, or in the next reading.
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def check(self) -> None:
        """Raises ProcessEnded where the process has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise ProcessEnded(f"{self.name} ended by itself with exit code {code}:\n{self.tail()}")

    def logged_port(self, event: str, field: str) -> int:
        """Wait until the process logs a URL in that field of that event; return its port. Raises ProcessEnded."""
        end, mark = monotonic() + START_SECONDS, json.dumps(event)
        while True:
            for line in self._log.read_text(errors="replace").splitlines():
                if mark in line and line.startswith("{"):
                    return URL(json.loads(line)[field]).port or 0
            self.check()
            if monotonic() > end:
                raise ProcessEnded(f"{self.name} did not log {event!r}:\n{self.tail()}")
            sleep(_LOOK_SECONDS)

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-_TAIL:]

    def stop(self) -> None:
        """Asks it to end, waits, and then ends its whole group. Repeating is safe."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Ends its whole group, as a power cut would. Repeating is safe."""
        kill_group(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Servant(Program):
    """A module of this folder as a process that answers lines with lines, and ends when its input does."""

    def __init__(self, name: str, module: str, log: Path, arguments: Sequence[str] = ()) -> None:
        super().__init__(name, [sys.executable, "-m", module, *arguments], log, talks=True)
        self._unread = b""

    def write_line(self, line: str) -> None:
        """Sends a line. Raises ProcessEnded."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise ProcessEnded(f"{self.name} has ended:\n{self.tail()}") from None

    def read_line(self, seconds: float) -> str | None:
        """The next line, or None where none comes within `seconds`. Raises ProcessEnded."""
        pipe = self._process.stdout
        assert pipe is not None
        end = monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, end - monotonic())):
                    return None
                piece = os.read(pipe.fileno(), 65536)
                if not piece:
                    raise ProcessEnded(f"{self.name} has ended:\n{self.tail()}")
                self._unread += piece
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()

    def expect(self, seconds: float = START_SECONDS) -> str:
        """The next line, which must come within `seconds`. Raises ProcessEnded."""
        answer = self.read_line(seconds)
        if answer is None:
            raise ProcessEnded(f"{self.name} did not answer within {seconds:g} s:\n{self.tail()}")
        return answer
