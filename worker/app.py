"""The Celery application: `celery -A worker.app worker` runs a worker with everything that belongs to it.

Importing this module reads nothing and opens nothing: the configuration is made when Celery first asks for it, and
the runtime is opened when the worker starts.
"""

from typing import Any

from celery import Celery, bootsteps
from celery.loaders.app import AppLoader
from celery.platforms import EX_FAILURE
from celery.signals import setup_logging, worker_shutdown, worker_shutting_down

from config.celery import celery_options
from config.logging import configure_logging, warn_of_unknown_variables
from config.settings import SettingsError, load_settings
from worker.ledger.connection.endpoints import NoRedisError, find_endpoints
from worker.process import runtime
from worker.process.stop_signals import Stopping


class _SettingsLoader(AppLoader):  # type: ignore[misc]  # Celery has no types
    """Has Celery configured by our settings."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        try:
            settings = load_settings()
            options = celery_options(settings, find_endpoints(settings).broker_url)
            return {**options, "worker_consumer": "worker.process.consumer:Consumer"}
        except (SettingsError, NoRedisError) as error:
            # What the user reads; a traceback would hide it.
            raise SystemExit(f"error: {error}") from None


class RuntimeStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Open the runtime before the worker takes its first message, and handle signals from then on."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        runtime.start(load_settings(), parent.app)
        # Celery has set its own handlers by now.
        Stopping(parent.hostname, runtime.hurry).listen()


app = Celery("worker", loader=_SettingsLoader, include=["worker.tasks"])
app.steps["worker"].add(RuntimeStep)


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _configure_logging(**_: object) -> None:
    configure_logging(load_settings())
    warn_of_unknown_variables()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _stop_claiming(**_: object) -> None:
    runtime.stop_claiming()


# The pool has finished its tasks by then, so that nothing is submitted to a runtime that is gone.
@worker_shutdown.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _drain(sender: Any, **_: object) -> None:
    if not runtime.stop():
        # For whoever looks at exit codes: others have to wait for this process's lease to run out.
        sender.exitcode = EX_FAILURE
