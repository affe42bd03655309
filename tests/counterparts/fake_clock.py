"""A Valkey whose clock a test sets: libfaketime in front of the embedded server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from time import monotonic

import redis

from tests.counterparts.redis_server import RedisServer
from tests.sessions import spawn
from worker.ledger.connection.embedded_redis import server_binary

_LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/local/lib/faketime")


class SteppedRedisServer(RedisServer):
    """A server with a clock of its own, which steps when a test says so.

    Timers of the server go by the machine's monotonic clock, which is not stepped.
    """

    def __init__(self, **options: str | int) -> None:
        super().__init__(**options)
        self._clock = self._folder / "clock"
        self._step = 0.0
        self._clock.write_text("+0")

    def step(self, seconds: float) -> None:
        """Step the clock by so much; negative steps it back. Returns once the server goes by it."""
        with self.client() as client:
            before = _offset_of(client)
            self._step += seconds
            fresh = self._clock.with_suffix(".new")
            fresh.write_text(f"{self._step:+.3f}")
            fresh.rename(self._clock)
            while abs(_offset_of(client) - before - seconds) > abs(seconds) / 2:
                pass

    @classmethod
    def library(cls) -> str:
        """Return the path of libfaketime."""
        found = (Path(folder) / "libfaketimeMT.so.1" for folder in _LIBRARIES)
        return str(next((path for path in found if path.exists()), "libfaketimeMT.so.1"))

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be started on this machine."""
        return None if shutil.which("faketime") else 'libfaketime is not installed: run "make servers"'

    def _launch(self) -> None:
        words = [word for name, value in self._options.items() for word in (f"--{name}", str(value))]
        fake = {
            "LD_PRELOAD": self.library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self._processes.append(spawn((server_binary(), *words), self._folder / "out.log", dict(os.environ) | fake))


def _offset_of(client: redis.Redis) -> float:
    """Return how much the server's clock is ahead of a clock of this machine that never steps (seconds)."""
    seconds, micros = client.time()
    return float(seconds) + float(micros) / 1e6 - monotonic()
