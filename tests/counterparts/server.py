"""A server that tests start: in a session and a folder of its own, and free to be killed, frozen or stopped."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import ClassVar, Self, TypeVar
from urllib.request import urlopen

import pytest

from tests.counterparts.freezing import await_group_ended, freeze_group
from tests.sessions import kill_group, signal_group, spawn

#: A busy machine may take its time; usually it takes less than 8 (seconds).
START_SECONDS = 60.0
STOP_SECONDS = 20.0
#: How often one that starts is asked whether it is there (seconds).
LOOK_SECONDS = 0.01
#: One that is asked whether it is there answers within this time (seconds).
ANSWER_SECONDS = 2.0
Kind = TypeVar("Kind", bound="Server")


class Server(ABC):
    """One server with its data in a folder of its own; it keeps its addresses and its data over restarts."""

    name: ClassVar[str]

    def __init__(self) -> None:
        # A socket's path has 107 bytes at most, which pytest's folders may exceed.
        self._folder = Path(tempfile.mkdtemp(prefix=f"edw-{self.name}-"))
        self._processes: list[subprocess.Popen[bytes]] = []

    @classmethod
    def missing(cls) -> str | None:
        """Return why the server cannot be started on this machine, and what to do; None where it can."""
        return None

    @abstractmethod
    def _launch(self) -> None:
        """Spawns what it is made of."""

    @abstractmethod
    def _answers(self) -> bool:
        """True once it speaks."""

    def _ended(self) -> None:  # noqa: B027  (most leave nothing)
        """Waits for, or removes, what its processes leave behind."""

    @property
    def running(self) -> bool:
        """True while its processes live, frozen or not."""
        return bool(self._processes) and all(each.poll() is None for each in self._processes)

    def start(self) -> Self:
        """Starts it, and answers once it does."""
        self._launch()
        end = monotonic() + START_SECONDS
        while not self._answers():
            if not self.running or monotonic() > end:
                said = self._log()
                self.kill()
                raise RuntimeError(f"{self.name} did not start:\n{said}")
            sleep(LOOK_SECONDS)
        return self

    def stop(self) -> None:
        """Ends it as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """End it as a power cut would, and start it with what it has on disk."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop its processes: it goes on listening, and says nothing more from the return of this call on."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                freeze_group(process.pid)

    def thaw(self) -> None:
        """Lets a frozen one go on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Ends it and removes what it wrote."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _spawn(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        self._processes.append(spawn(words, self._folder / "out.log", env))

    def _signal(self, number: int) -> None:
        for process in self._processes:
            signal_group(process, number)

    def _end(self, number: int) -> None:
        self._signal(number)
        # A frozen one would not react.
        self.thaw()
        for process in reversed(self._processes):
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            if not await_group_ended(process.pid, STOP_SECONDS):
                kill_group(process)
            process.wait()
        if self._processes:
            self._processes = []
            self._ended()

    def _log(self) -> str:
        with suppress(OSError):
            return (self._folder / "out.log").read_text(errors="replace")[-2000:]
        return "(no log)"


def require(kind: type[Server]) -> None:
    """Skip the test, or the tests of a fixture, where a server is not installed."""
    if why := kind.missing():
        pytest.skip(why)


def started(kind: type[Kind]) -> Iterator[Kind]:
    """Start a server for a fixture, and remove it in the end."""
    require(kind)
    with kind() as server:
        yield server


def answers_ok(url: str) -> bool:
    """Return whether a GET is answered by 200."""
    with suppress(OSError), urlopen(url, timeout=ANSWER_SECONDS) as answer:
        return bool(answer.status == 200)
    return False
