"""Child processes of a command: each has its own session, is asked to stop once, and is never left behind.

A child does not get the terminal's Ctrl-C, so that this process decides when to stop. If this process is killed, the
children notice the end of a pipe (see parent_watch.py) and drain.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from config.settings import Settings, environment_with
from deliverers.backoff import Backoff
from worker.ledger.connection.embedded_redis import EmbeddedRedis

#: Seconds beyond its drain time that a worker may take to stop.
STOP_GRACE_SECONDS = 15.0
#: Seconds that a worker asked to hurry may take to settle what it interrupts.
HURRY_SECONDS = 15.0
#: Exit codes of a child that stopped in good order; SIGTERM may arrive before the child handles it.
IN_GOOD_ORDER = (0, -signal.SIGTERM)
#: Pauses before a worker that died is started again.
RESTART_BACKOFF = Backoff(first=0.5, longest=30.0)
#: Seconds of life after which a start counts as successful.
STEADY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Signals:
    """The user's requests to stop, as a worker takes them (see worker/process/stop_signals.py)."""

    #: SIGINT or SIGTERM: drain.
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    #: SIGQUIT, or another SIGINT: stop without waiting for what is in flight.
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of_this_process(cls) -> "Signals":
        """Turn SIGINT, SIGTERM, SIGQUIT and SIGHUP into these events, on the running loop."""
        made = cls()
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            # SIGHUP means that the terminal was closed; nohup ignores it, and then so do we.
            numbers.append(signal.SIGHUP)
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, made._received, number)
        return made

    def _received(self, number: int) -> None:
        if number == signal.SIGQUIT or (number == signal.SIGINT and self.stop.is_set()):
            self.hurry.set()
        self.stop.set()


@dataclass(frozen=True, slots=True)
class Child:
    """A started process, and the seconds that it may take to stop."""

    process: asyncio.subprocess.Process
    stop_seconds: float

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    async def stop(self, hurry: asyncio.Event | None = None) -> bool:
        """Stop the process: SIGTERM, SIGQUIT once `hurry` is set, SIGKILL at last. Repeating it is safe.

        Returns False if the process did not end in good order.
        """
        await self._signal_and_wait(signal.SIGTERM, self.stop_seconds, *([hurry.wait()] if hurry else []))
        if hurry is not None and hurry.is_set():
            await self._signal_and_wait(signal.SIGQUIT, HURRY_SECONDS)
        await self._signal_and_wait(signal.SIGKILL, None)
        return self.process.returncode in IN_GOOD_ORDER

    async def _signal_and_wait(self, number: int, seconds: float | None, *others: Coroutine[Any, Any, Any]) -> None:
        """Send a signal; wait for the process's end, for one of the others, or for at most `seconds`."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        await first_of(self.process.wait(), *others, timeout=seconds)


Starter = Callable[[], Awaitable[Child]]


async def start_child(
    command: Sequence[str],
    stop_seconds: float,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a process; without `env` or `output` it inherits this process's environment or output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        env=env,
        cwd=cwd,
        start_new_session=True,
        pass_fds=pass_fds,
    )
    return Child(process, stop_seconds)


@contextmanager
def process_starter(
    arguments: Sequence[str], drain_seconds: float
) -> Iterator[Callable[[Mapping[str, str]], Awaitable[Child]]]:
    """Yield a function that starts `edw` processes, such as `worker`.

    It takes variables to add to this process's environment. The processes drain by themselves if this one is killed.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "worker.cli", *arguments, "--parent-pipe", str(reading)]

    def start(changes: Mapping[str, str]) -> Awaitable[Child]:
        env = environment_with(changes)
        return start_child(command, drain_seconds + STOP_GRACE_SECONDS, env=env, pass_fds=[reading])

    try:
        yield start
    finally:
        os.close(writing)
        os.close(reading)


@asynccontextmanager
async def redis_running(redis: EmbeddedRedis) -> AsyncIterator[str]:
    """Run the embedded Redis for the block; yield its URL."""
    starting = asyncio.ensure_future(asyncio.to_thread(redis.start))
    try:
        # A thread cannot be cancelled: wait until Redis has started, then stop it.
        yield await asyncio.shield(starting)
    finally:
        await asyncio.wait([starting])
        await asyncio.to_thread(redis.stop)


def process_changes(settings: Settings, index: int) -> dict[str, str]:
    """Return the settings of process number `index` (from 0): its own metrics port, counted from EDW_METRICS_PORT."""
    return {"EDW_METRICS_PORT": str(settings.metrics_port + index)} if settings.metrics_port else {}


async def keep_running(name: str, start: Starter, signals: Signals, say: Callable[[str], None]) -> bool:
    """Keep a worker running until it is asked to stop; return False if it then did not end in good order."""
    loop = asyncio.get_running_loop()
    failures = 0
    while not signals.stop.is_set():
        child = await start()
        began = loop.time()
        try:
            await first_of(child.process.wait(), signals.stop.wait())
        finally:
            drained = await child.stop(signals.hurry)
        if signals.stop.is_set():
            return drained
        failures = deaths_in_a_row(failures, loop.time() - began)
        pause = RESTART_BACKOFF.pause(failures)
        say(f"{name} (process {child.pid}) {died(child.process.returncode)}; it starts again in {pause:g} s")
        await first_of(signals.stop.wait(), timeout=pause)
    return True


def deaths_in_a_row(before: int, lived: float) -> int:
    """Return how often a process has died in a row, now that it has lived for `lived` seconds."""
    return 1 if lived >= STEADY_SECONDS else before + 1


def died(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


async def first_of(*waits: Coroutine[Any, Any, Any], timeout: float | None = None) -> None:
    """Wait for the first of several, at most `timeout` seconds; cancel the others."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def over(future: "asyncio.Future[Any]") -> None:
    """Wait until a future is done, without cancelling it or raising its error; for first_of()."""
    await asyncio.wait([future])
