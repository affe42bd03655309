"""The demo's processes: a real Redis, worker and receiver, removed when the demo ends."""

import asyncio
import sys
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.fernet import Fernet

from config.settings import Settings, process_environment
from worker.cli.cli_session import read_settings
from worker.cli.demo.receiver import Receiver, receiving
from worker.cli.supervision import STOP_GRACE_SECONDS, Child, redis_running, start_child
from worker.ledger import Ledger, LedgerPolicy
from worker.ledger.connection.embedded_redis import EmbeddedRedis
from worker.ledger.connection.endpoints import find_endpoints

#: Seconds (±20 %) between the refusal of attempt 1 and attempt 2.
BACKOFF_SECONDS = 1.0
#: Variables that Celery's command line reads; the user may have set them for something else.
_CELERY_VARIABLES = frozenset({"APP", "BROKER_URL", "RESULT_BACKEND", "LOADER", "CONFIG_MODULE", "SKIP_CHECKS"})
_LOG_END_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts of the demo."""

    settings: Settings
    ledger: Ledger
    receiver: Receiver
    worker: Child
    #: The worker's output.
    worker_log: Path

    def end_of_log(self) -> str:
        """Return the end of the worker's log."""
        return self.worker_log.read_text(errors="replace")[-_LOG_END_CHARS:]


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Run everything in a temporary data folder for the block; nothing is left behind, however the block ends."""
    with TemporaryDirectory(prefix="edw-demo-") as name:
        folder = Path(name)
        set_apart(process_environment(), folder)
        settings = read_settings()
        log = folder / "worker.log"
        async with redis_running(EmbeddedRedis(folder)), receiving() as receiver:
            ledger = Ledger(find_endpoints(settings).ledger_url, LedgerPolicy.of(settings), settings.shard)
            await ledger.open()
            worker = await _start_worker(settings, folder, log)
            try:
                yield Stage(settings, ledger, receiver, worker, log)
            finally:
                await ledger.close()
                await asyncio.shield(worker.stop())


def set_apart(environment: MutableMapping[str, str], folder: Path) -> None:
    """Replace the user's settings in this process's environment with the demo's."""
    for name in list(environment):
        if name.upper().startswith(("EDW_", "CELERY_")) or name in _CELERY_VARIABLES:
            del environment[name]
    environment.update(
        {
            "EDW_DATA_DIR": str(folder),
            "EDW_SECRETS_KEYS": Fernet.generate_key().decode(),
            "EDW_EGRESS_ALLOW": "127.0.0.0/8",
            "EDW_RETRY_SCHEDULE": f"{BACKOFF_SECONDS:g}s",
            "EDW_DRAIN_SECONDS": "5s",
            "EDW_METRICS_PORT": "0",
        }
    )


async def _start_worker(settings: Settings, folder: Path, log: Path) -> Child:
    # As a Celery user would type it, in a folder where no module can shadow one of ours.
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    with log.open("wb") as output:
        return await start_child(command, settings.drain_seconds + STOP_GRACE_SECONDS, cwd=folder, output=output)
