"""What can be killed, and started again with what it has on disk; and a clock that steps."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.benchmarks.processes import ProcessEnded, Program
from tests.counterparts.fake_clock import SteppedRedisServer
from tests.counterparts.freezing import freeze, thaw
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer


class Mortal(Protocol):
    """One of them. Every call may block for as long as the thing takes."""

    def start(self) -> None:
        """Starts it; a server answers when it speaks."""
        ...

    def kill(self) -> None:
        """`kill -9`. Raises ProcessEnded where it had ended by itself."""
        ...

    def remove(self) -> None:
        """Ends it for good. Repeating is safe."""
        ...


class ProcessVictim:
    """A process of ours; every life of it has a log of its own."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str], *, held: bool = False
    ) -> None:
        """`held`: it ends when its input does, so that nobody who dies leaves it behind."""
        self.name = name
        self._held = held
        self._command = command
        self._folder = folder
        self._environment = environment
        self._lives = 0
        self._program: Program | None = None

    @property
    def log(self) -> Path:
        """Of its present life."""
        return self._folder / f"{self.name}-{self._lives}.log"

    def start(self) -> None:
        self._lives += 1
        self._program = Program(self.name, self._command, self.log, self._environment, talks=self._held)

    def kill(self) -> None:
        try:
            self.check()
        finally:
            self.remove()

    def finish(self) -> None:
        """Asks it to end after what it is at, and waits for it."""
        assert self._program is not None
        self._program.stop()
        self._program = None

    def remove(self) -> None:
        if self._program is not None:
            self._program.kill()
            self._program = None

    @property
    def pid(self) -> int:
        """Of its present life."""
        assert self._program is not None
        return self._program.pid

    def said(self, event: str) -> dict[str, str] | None:
        """The first log line of this life that reports an event."""
        mark = json.dumps(event)
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else ():
            if mark in line and line.startswith("{"):
                return dict(json.loads(line))
        return None

    def check(self) -> None:
        """Raises ProcessEnded where it has ended by itself."""
        assert self._program is not None
        self._program.check()


class SleepingVictim:
    """A process that is stopped in its tracks, and goes on later as if no time had passed."""

    def __init__(self, process: ProcessVictim) -> None:
        self._process = process

    def start(self) -> None:
        """Let it go on."""
        thaw(self._process.pid)

    def kill(self) -> None:
        """Stop it. Raises ProcessEnded where it had ended by itself."""
        self._process.check()
        freeze(self._process.pid)

    def remove(self) -> None:
        self._process.remove()


class ServerVictim:
    """Redis, or the broker."""

    def __init__(self, server: RedisServer | RabbitServer) -> None:
        self._server = server

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        if not self._server.running:
            raise ProcessEnded(f"{type(self._server).__name__} had ended by itself")
        self._server.kill()

    def remove(self) -> None:
        self._server.remove()


class ClockVictim:
    """The clock of Redis, which steps by so many seconds, and later back again."""

    def __init__(self, server: SteppedRedisServer, seconds: float) -> None:
        self._server = server
        self._seconds = seconds

    def start(self) -> None:
        """Step it back to where it would be."""
        self._server.step(-self._seconds)

    def kill(self) -> None:
        """Step it. Raises ProcessEnded where its server had ended by itself."""
        if not self._server.running:
            raise ProcessEnded("the Redis of the clock had ended by itself")
        self._server.step(self._seconds)

    def remove(self) -> None:
        """Nothing of its own is left."""


def accident(step: Callable[[], None]) -> str:
    """Takes a step with a process; answers what was wrong with it, or nothing."""
    try:
        step()
    except ProcessEnded as error:
        return str(error)
    return ""
