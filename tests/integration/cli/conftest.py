"""The real `edw` process, on an embedded Redis server with a data folder of its own."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.fleet.edw_command import Edw, EdwProcess, Result, StartEdw, alive, run_edw
from tests.fleet.environment import without_settings
from worker.ledger.connection.embedded_redis import EmbeddedRedis


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """What commands see: folders of their own for data and temporary files, and nothing of the user's."""
    # Not pytest's: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="edw-cli-") as folder:
        yield without_settings() | {
            "EDW_DATA_DIR": f"{folder}/data",
            "EDW_METRICS_PORT": "0",
            "EDW_API_PORT": "0",
            "TMPDIR": folder,
            "TEST_EDW_MARKER": folder,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))),
        }


@pytest.fixture
def edw(environment: dict[str, str]) -> Edw:
    """Runs `edw` to its end: `edw("emit", "order.paid", stdin=b"…", EDW_…="…")`."""

    def run(*arguments: str, stdin: bytes = b"", **changes: str) -> Result:
        return run_edw(arguments, environment | changes, stdin)

    return run


@pytest.fixture
def start_edw(environment: dict[str, str], tmp_path: Path) -> Iterator[StartEdw]:
    """Starts `edw`, which goes on: `start_edw("dev", EDW_…="…")`. What is left of it is killed in the end."""
    started: list[EdwProcess] = []

    def start(*arguments: str, **changes: str) -> EdwProcess:
        running = EdwProcess(arguments, environment | changes, tmp_path / f"edw-{len(started)}.log")
        started.append(running)
        return running

    yield start
    for running in started:
        running.kill()
    for pid in alive(environment):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def redis_url(environment: dict[str, str]) -> Iterator[str]:
    """The embedded server of the data folder, running, with a key for secrets in the environment."""
    embedded = EmbeddedRedis(Path(environment["EDW_DATA_DIR"]))
    environment["EDW_SECRETS_KEYS"] = Fernet.generate_key().decode()
    try:
        yield embedded.start()
    finally:
        embedded.stop()
