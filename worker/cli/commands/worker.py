"""`edw worker`: one worker process, or several under a small supervisor."""

import asyncio
import os
import signal
import socket
import sys
from functools import partial
from math import inf

import click
import structlog

from config.logging import warn_of_unknown_variables
from config.settings import Settings
from worker.cli.cli_session import EXIT_FAILED, read_settings, reported_errors
from worker.cli.keys import with_made_keys
from worker.cli.parent_watch import watch_parent
from worker.cli.supervision import Signals, keep_running, process_changes, process_starter
from worker.event_loop.collector import rest_until_attended
from worker.ledger import Ledger, LedgerPolicy
from worker.ledger.connection.endpoints import find_endpoints
from worker.ledger.connection.startup import reach

_log = structlog.get_logger("edw.cli")


@click.command(name="worker")
@click.option(
    "--processes", type=click.IntRange(1, 512), default=1, show_default=True, help="Processes; each uses one core."
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Longest wait for a Redis that does not answer; 0 fails at once. Default: no limit.",
)
@click.option("--parent-pipe", type=int, hidden=True)
def command(processes: int, wait: float | None, parent_pipe: int | None) -> None:
    """Run a worker until SIGTERM or Ctrl-C; it then finishes the deliveries in flight.

    A second Ctrl-C, or SIGQUIT, interrupts them: their jobs are due at once, for another worker. With several
    processes, a process that dies is started again, and each has its own metrics port, counted from EDW_METRICS_PORT.
    "celery -A worker.app worker" runs one worker too.
    """
    settings = read_settings(for_people=False)
    warn_of_unknown_variables()
    if parent_pipe is not None:
        watch_parent(parent_pipe)
    if processes > 1:
        raise SystemExit(asyncio.run(_supervise(settings, processes, wait)))
    if asyncio.run(_reach_or_stop(settings, wait)):
        _work(settings)


def _work(settings: Settings) -> None:
    # Until the worker handles signals itself (worker/process/stop_signals.py), there is nothing to drain.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: sys.exit(0))
    rest_until_attended()
    # The worker reads its settings from the environment, where this puts the key.
    with_made_keys(settings)
    from worker.app import app

    # Celery's command line is not used: it reads APP, BROKER_URL and others from the environment, where they are often
    # meant for something else. The pool and the queues come from the application's configuration.
    celery_worker = app.Worker(
        hostname=f"edw-{os.getpid()}@{socket.gethostname()}",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    celery_worker.start()
    raise SystemExit(celery_worker.exitcode)


async def _supervise(settings: Settings, processes: int, wait: float | None) -> int:
    signals = Signals.of_this_process()
    if not await _reach(settings, wait, signals.stop):
        return 0
    with process_starter(["worker"], settings.drain_seconds) as start:
        drained = await asyncio.gather(
            *(
                keep_running(
                    f"worker {index + 1}", partial(start, process_changes(settings, index)), signals, _log.error
                )
                for index in range(processes)
            )
        )
    return 0 if all(drained) else EXIT_FAILED


async def _reach_or_stop(settings: Settings, wait: float | None) -> bool:
    return await _reach(settings, wait, Signals.of_this_process().stop)


async def _reach(settings: Settings, wait: float | None, stop: asyncio.Event) -> bool:
    """Wait until the ledger answers; return False if the process was asked to stop first.

    Raises CommandFailure if no ledger is configured, or if it did not answer within `wait` seconds (None: no limit).
    """
    with reported_errors():
        ledger = Ledger(find_endpoints(settings).ledger_url, LedgerPolicy.of(settings), settings.shard)
        try:
            return await reach(ledger, stop, within=inf if wait is None else wait)
        finally:
            await ledger.close()
