"""The real `edw` process, on an embedded store with a data folder of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from cryptography.fernet import Fernet

from worker.ledger.embedded_redis import EmbeddedRedis

#: A busy machine may take its time; nothing here is expected to need so long (seconds).
PATIENCE = 60.0
EDW = (sys.executable, "-m", "worker.cli")


@dataclass(frozen=True)
class Result:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """Both outputs, without line breaks and runs of spaces."""
        return " ".join((self.out + self.err).split())


class Running:
    """A command that goes on until it is told to stop; its output is read from a file."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*EDW, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, text: str) -> None:
        """Waits until it has said so."""
        eventually(lambda: text in self.said or self._over(), lambda: f"{text!r} in:\n{self.said}")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        """Waits for its end, and answers its exit code."""
        return self.process.wait(PATIENCE)

    def _over(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}:\n{self.said}")
        return False


def eventually(condition: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Waits until something is true, and fails with `what` where it never is."""
    end = monotonic() + PATIENCE
    while not condition():
        if monotonic() > end:
            raise AssertionError(f"not within {PATIENCE:g} s: {what if isinstance(what, str) else what()}")
        sleep(0.02)


def alive(environment: Mapping[str, str]) -> list[int]:
    """The processes that a test's commands started, and their children's children, but for those that have ended.

    They are known by a variable of their environment; a store by its folder, because it writes its title over that.
    """
    marker, folder = environment["TEST_EDW_MARKER"].encode(), environment["TMPDIR"]
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                ours = marker in (process / "environ").read_bytes() or str((process / "cwd").readlink()).startswith(
                    folder
                )
                if state != "Z" and ours:
                    found.append(int(process.name))
    return found


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """What commands see: folders of their own for data and temporary files, and nothing of the user's."""
    # Not pytest's: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="edw-cli-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EDW_")}
        yield kept | {
            "EDW_DATA_DIR": f"{folder}/data",
            "EDW_METRICS_PORT": "0",
            "EDW_API_PORT": "0",
            "TMPDIR": folder,
            "TEST_EDW_MARKER": folder,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))),
        }


Edw = Callable[..., Result]
StartEdw = Callable[..., Running]


@pytest.fixture
def edw(environment: dict[str, str]) -> Edw:
    """Runs `edw` to its end: `edw("emit", "order.paid", stdin=b"…", EDW_…="…")`."""

    def run(*arguments: str, stdin: bytes = b"", **changes: str) -> Result:
        done = subprocess.run(
            [*EDW, *arguments],
            env=environment | changes,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def start_edw(environment: dict[str, str], tmp_path: Path) -> Iterator[StartEdw]:
    """Starts `edw`, which goes on: `start_edw("dev", EDW_…="…")`. What is left of it is killed in the end."""
    started: list[Running] = []

    def start(*arguments: str, **changes: str) -> Running:
        running = Running(arguments, environment | changes, tmp_path / f"edw-{len(started)}.log")
        started.append(running)
        return running

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()
    for pid in alive(environment):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def redis_url(environment: dict[str, str]) -> Iterator[str]:
    """The embedded store of the data folder, running, with a key for secrets in the environment."""
    embedded = EmbeddedRedis(Path(environment["EDW_DATA_DIR"]))
    environment["EDW_SECRETS_KEYS"] = Fernet.generate_key().decode()
    try:
        yield embedded.start()
    finally:
        embedded.stop()
