"""Workers and APIs as the processes that people start."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGABRT, SIGTERM
from typing import Any, Self
from uuid import uuid4

import psutil

from tests.fleet.variants import COMMANDS
from tests.sessions import kill_group, spawn
from tests.waiting import PATIENCE, eventually

#: Characters of a log that are shown where a process fails a test.
TAIL = 6_000


class ProcessUnderTest:
    """A program of Python's, in a session of its own; what it writes goes into a log.

    With `files`, it may open so many descriptors and no more.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, files: int | None = None
    ) -> None:
        limited = () if files is None else ("sh", "-c", 'ulimit -n "$0" && exec "$@"', str(files))
        self.log = log
        self.process = spawn([*limited, sys.executable, *arguments], log, environment)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def said(self, text: str, times: int = 1) -> bool:
        """Return whether a text was written so often."""
        return self.output.count(text) >= times

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event; the last line may still be half written."""
        whole = self.output.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{") and f'"event":"{event}"' in line]

    def kill(self) -> None:
        """End it as a power cut would: no handler runs, and its children live on."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: int = SIGTERM) -> None:
        """Send a signal to it, unless it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait_ended(self) -> int:
        """Wait for its end, and return the exit code."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            # The process writes the stacks of its threads: they show where it hangs.
            self.process.send_signal(SIGABRT)
            self.process.wait()
            raise AssertionError(f"the process did not end:\n{self.output[-TAIL:]}") from None

    async def ends(self) -> int:
        """Wait for its end beside the event loop, and return the exit code."""
        return await asyncio.to_thread(self.wait_ended)

    async def stop(self, number: int = SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.signal(number)
        return await self.ends()

    def children(self) -> list[psutil.Process]:
        """Return its children that have not ended."""
        return [each for each in psutil.Process(self.pid).children() if each.status() != psutil.STATUS_ZOMBIE]

    def fail_if_ended(self) -> bool:
        """Fail the test where the process has ended by itself, and return false: for conditions that wait for it."""
        if self.process.poll() is not None:
            raise AssertionError(f"it ended by itself with {self.process.returncode}:\n{self.output[-TAIL:]}")
        return False

    def end(self) -> None:
        """End it and all that it started. Repeating is safe."""
        # A supervisor's children have sessions of their own.
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        kill_group(self.process)


class WorkerProcess(ProcessUnderTest):
    """One of COMMANDS, as anybody would type it."""

    def __init__(self, command: str, environment: Mapping[str, str], log: Path, files: int | None = None) -> None:
        arguments, self._processes = COMMANDS[command]
        names = ("-n", f"{uuid4().hex}@test") if "celery" in arguments else ()
        super().__init__([*arguments, *names], environment, log, files)

    @property
    def probe(self) -> str:
        """The address of its health server, as its log has it."""
        return str(self.lines("probe")[-1]["metrics"]).removesuffix("/metrics")

    async def ready(self) -> Self:
        """Wait until each of its processes delivers, and reads its queues."""

        def is_ready() -> bool:
            delivers, reads = '"worker ready"', ' ready."}'
            ready = self.said(delivers, self._processes) and self.said(reads, self._processes)
            return ready or self.fail_if_ended()

        await eventually(is_ready, "the worker starts")
        return self


class ApiProcess(ProcessUnderTest):
    """`edw api`, as anybody would type it."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, files: int | None = None
    ) -> None:
        super().__init__(["-m", "worker.cli", "api", *arguments], environment, log, files)

    @property
    def url(self) -> str:
        """The address that it listens at, as its log has it; empty before."""
        lines = self.lines("api ready")
        return str(lines[-1]["url"]) if lines else ""

    async def ready(self) -> Self:
        """Wait until it listens."""
        await eventually(lambda: self.url or self.fail_if_ended(), "the API listens")
        return self


StartWorker = Callable[..., WorkerProcess]
StartApi = Callable[..., ApiProcess]
