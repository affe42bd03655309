"""The demo's stage: Redis, a worker process and a receiver, each the real one, and gone when the demo is over."""

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

#: The schedule: attempt 2 is due so long (seconds, give or take a fifth) after attempt 1 was refused.
BACKOFF_SECONDS = 1.0
#: What Celery's command line reads from the environment, where it may be meant for something else.
_CELERY_VARIABLES = frozenset({"APP", "BROKER_URL", "RESULT_BACKEND", "LOADER", "CONFIG_MODULE", "SKIP_CHECKS"})
_LOG_END_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo plays on."""

    settings: Settings
    ledger: Ledger
    receiver: Receiver
    worker: Child
    #: What the worker prints.
    worker_log: Path

    def end_of_log(self) -> str:
        """The last words of the worker."""
        return self.worker_log.read_text(errors="replace")[-_LOG_END_CHARS:]


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Everything running, in a temporary data folder; whatever ends the block, nothing is left behind."""
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
    """Takes the user's settings out of this process's environment, and puts the demo's in."""
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
    # As any Celery user would type it, and where no module of the present folder can stand in for one of ours.
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    with log.open("wb") as output:
        return await start_child(command, settings.drain_seconds + STOP_GRACE_SECONDS, cwd=folder, output=output)
