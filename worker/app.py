"""The Celery application: `celery -A worker.app worker` runs a complete worker.

Importing this module reads no settings and opens no connection. Celery loads the configuration when it first needs it,
and the worker opens the runtime when it starts.
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
    """A Celery loader that configures Celery from our settings."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        try:
            settings = load_settings()
            options = celery_options(settings, find_endpoints(settings).broker_url)
            return {**options, "worker_consumer": "worker.process.consumer:Consumer"}
        except (SettingsError, NoRedisError) as error:
            # Without a traceback, which would hide the message from the user.
            raise SystemExit(f"error: {error}") from None


class RuntimeStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """The step that opens the runtime before the worker takes its first message, and handles signals from then on."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        runtime.start(load_settings(), parent.app)
        # Celery has set its own handlers by now, and these replace them.
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


# The pool has finished its tasks by then, so no task uses a runtime that is closed.
@worker_shutdown.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _drain(sender: Any, **_: object) -> None:
    if not runtime.stop():
        # Jobs are still leased: other workers must wait until this process's lease runs out. The exit code shows it.
        sender.exitcode = EX_FAILURE
