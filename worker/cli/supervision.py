"""Processes that a command starts: each in a session of its own, told to stop once, and never left behind.

A child gets no Ctrl-C of the terminal's, so that it is this process that says when to stop. Should this process be
killed, the children notice by their lifeline (see lifeline.py) and drain.
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

from config.settings import Settings, process_environment
from deliverers.backoff import Backoff
from worker.ledger.connection.embedded_redis import EmbeddedRedis

#: A worker that was told to stop may take so much longer than its drain (seconds).
STOP_GRACE_SECONDS = 15.0
#: One that was told to hurry settles what it interrupts, and may take so long for that.
HURRY_SECONDS = 15.0
#: How a child that was told to stop ends in good order: the signal may come before it can listen.
IN_GOOD_ORDER = (0, -signal.SIGTERM)
#: Pauses before a worker that died is started again.
RESTART_BACKOFF = Backoff(first=0.5, longest=30.0)
#: A worker that lived for so long (seconds) was no failure to start.
STEADY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Signals:
    """What the user has asked for; as for a worker (see worker/process/stop_signals.py)."""

    #: SIGINT or SIGTERM: drain.
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    #: A SIGINT after that, or SIGQUIT: do not wait for it.
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of_this_process(cls) -> "Signals":
        """From now on, SIGINT, SIGTERM, SIGQUIT and SIGHUP are these events; on the running loop."""
        made = cls()
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            # The terminal was closed; under nohup, which ignores this signal, that changes nothing.
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
    """A process that was started, and how long (seconds) it may take to stop."""

    process: asyncio.subprocess.Process
    stop_seconds: float

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def stop(self, hurry: asyncio.Event | None = None) -> bool:
        """Tells it to stop, and to hurry, and waits until it has; kills it where it does not. Repeating is safe.

        False where it did not end in good order.
        """
        await self._signal_and_wait(signal.SIGTERM, self.stop_seconds, *([hurry.wait()] if hurry else []))
        if hurry is not None and hurry.is_set():
            await self._signal_and_wait(signal.SIGQUIT, HURRY_SECONDS)
        await self._signal_and_wait(signal.SIGKILL, None)
        return self.process.returncode in IN_GOOD_ORDER

    async def _signal_and_wait(self, number: int, seconds: float | None, *others: Coroutine[Any, Any, Any]) -> None:
        """Sends it a signal, and waits for its end, for so long at most, or for one of the others."""
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
    """Starts a process; without `env` with this one's environment, without `output` with this one's output."""
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
    """What starts processes of `edw` (such as `worker`) that drain by themselves should this process be killed.

    It takes what such a process is told beside this one's environment.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "worker.cli", *arguments, "--lifeline", str(reading)]

    def start(changes: Mapping[str, str]) -> Awaitable[Child]:
        env = {**process_environment(), **changes}
        return start_child(command, drain_seconds + STOP_GRACE_SECONDS, env=env, pass_fds=[reading])

    try:
        yield start
    finally:
        os.close(writing)
        os.close(reading)


@asynccontextmanager
async def redis_running(redis: EmbeddedRedis) -> AsyncIterator[str]:
    """Run the embedded Redis for as long as the block; yields its URL."""
    starting = asyncio.ensure_future(asyncio.to_thread(redis.start))
    try:
        # A thread cannot be cancelled: what it has begun is waited for, and then ended.
        yield await asyncio.shield(starting)
    finally:
        await asyncio.wait([starting])
        await asyncio.to_thread(redis.stop)


def process_changes(settings: Settings, index: int) -> dict[str, str]:
    """What one of several processes (0, 1, 2 …) is told: a metrics port of its own, from EDW_METRICS_PORT on."""
    return {"EDW_METRICS_PORT": str(settings.metrics_port + index)} if settings.metrics_port else {}


async def keep_running(name: str, start: Starter, signals: Signals, say: Callable[[str], None]) -> bool:
    """Keeps a worker running until it is told to stop; False where it then did not end in good order."""
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
    """Return how often a process has died in a row, now that it has lived for so long (seconds)."""
    return 1 if lived >= STEADY_SECONDS else before + 1


def died(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


async def first_of(*waits: Coroutine[Any, Any, Any], timeout: float | None = None) -> None:
    """Waits for the first of several, or as long as `timeout` (seconds); what is not over is given up."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def over(future: "asyncio.Future[Any]") -> None:
    """Waits until something is over, and neither cancels it nor raises what it raised; for first_of()."""
    await asyncio.wait([future])
