"""`edw api`: the Integrations API, in one process or several on one port."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import click
import structlog
import uvloop

from config.lean_imports import absent
from config.logging import warn_of_unknown_variables
from config.settings import Settings
from worker.cli.cli_session import EXIT_FAILED, CommandFailure, read_settings, reported_errors
from worker.cli.keys import with_made_keys
from worker.cli.parent_watch import watch_parent
from worker.cli.supervision import Signals, keep_running, process_changes, process_starter
from worker.event_loop.collector import rest_until_attended
from worker.ledger.connection.endpoints import find_endpoints

_log = structlog.get_logger("edw.cli")


@click.command(name="api")
@click.option(
    "--processes", type=click.IntRange(1, 512), default=1, show_default=True, help="Processes; each uses one core."
)
@click.option("--parent-pipe", type=int, hidden=True)
@click.option("--shared-port", is_flag=True, hidden=True)
def command(processes: int, parent_pipe: int | None, shared_port: bool) -> None:
    """Serve the Integrations API until SIGTERM or Ctrl-C; requests in progress are finished first.

    It listens at EDW_API_HOST and EDW_API_PORT. Requests need a token: see "edw tokens create". While Redis does not
    answer, requests get 503, and /readyz says why.
    """
    settings = with_made_keys(read_settings(for_people=False))
    warn_of_unknown_variables()
    if parent_pipe is not None:
        watch_parent(parent_pipe)
    if processes > 1 and not settings.api_port:
        raise click.UsageError("several processes share one port: set EDW_API_PORT to a number other than 0")
    with reported_errors():
        if processes > 1:
            raise SystemExit(asyncio.run(_supervise(settings, processes)))
        uvloop.run(_serve(settings, shared_port))


def load_server() -> Callable[..., Coroutine[Any, Any, None]]:
    """Import the server with its console, and return it. Only a process that serves needs them."""
    # aiohttp's client, which the API does not use, would import c-ares.
    with absent("aiodns"):
        from worker.api.server import serve
        from worker.cli.console_part import console_part
    return partial(serve, parts=console_part)


async def _serve(settings: Settings, shared_port: bool) -> None:
    rest_until_attended()
    serve = load_server()

    signals = Signals.of_this_process()
    serving = asyncio.ensure_future(serve(settings, signals.stop, shared_port=shared_port))
    hurried = asyncio.ensure_future(signals.hurry.wait())
    try:
        await asyncio.wait([serving, hurried], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
    except OSError as error:
        raise _cannot_listen(settings, error) from None
    finally:
        for task in (serving, hurried):
            task.cancel()
        await asyncio.gather(serving, hurried, return_exceptions=True)


async def _supervise(settings: Settings, processes: int) -> int:
    # Errors that no child could overcome are reported once, instead of repeatedly by each child.
    find_endpoints(settings)
    await _check_port(settings)
    signals = Signals.of_this_process()
    with process_starter(["api", "--shared-port"], settings.drain_seconds) as start:
        drained = await asyncio.gather(
            *(
                keep_running(f"api {index + 1}", partial(start, process_changes(settings, index)), signals, _log.error)
                for index in range(processes)
            )
        )
    return 0 if all(drained) else EXIT_FAILED


async def _check_port(settings: Settings) -> None:
    """Raise CommandFailure if processes cannot share the port."""
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(asyncio.Protocol, settings.api_host, settings.api_port, reuse_port=True)
    except OSError as error:
        raise _cannot_listen(settings, error) from None
    server.close()
    await server.wait_closed()


def _cannot_listen(settings: Settings, error: OSError) -> CommandFailure:
    where = f"EDW_API_HOST={settings.api_host} EDW_API_PORT={settings.api_port}"
    return CommandFailure(f"cannot listen at {where}: {error.strerror or error}")
