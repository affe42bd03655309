"""`edw dev`: a store and a worker in one, until Ctrl-C."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import click

from config.settings import Settings
from worker.cli.keys import KEY_FILE, make_key
from worker.cli.session import EXIT_FAILED, read_settings, told, warn_of_strays
from worker.cli.supervision import Signals, died, first_of, store_running, worker_starter
from worker.embedded import EmbeddedStore

#: Where the receivers of somebody who tries things out are.
LOOPBACK = "127.0.0.0/8 ::1/128"


@click.command(name="dev")
def command() -> None:
    """Run a private store and a worker, until Ctrl-C.

    The store lives in the data folder (EDW_DATA_DIR), and what it holds is there again the next time; with
    EDW_REDIS_URL that one is used instead. Receivers on this machine may be delivered to.
    """
    settings = read_settings()
    warn_of_strays()
    with told():
        raise SystemExit(asyncio.run(_live(settings)))


async def _live(settings: Settings) -> int:
    signals = Signals.of_this_process()
    async with AsyncExitStack() as stack:
        store: EmbeddedStore | None = None
        if settings.redis_url is None:
            store = EmbeddedStore(settings.data_dir)
            await stack.enter_async_context(store_running(store))
        if signals.stop.is_set():
            return 0
        changes = worker_changes(settings)
        _explain(settings, changes)
        start = stack.enter_context(worker_starter(settings.drain_seconds))
        child = await start(changes)
        try:
            await first_of(signals.stop.wait(), child.process.wait(), *([store.watch()] if store else []))
        finally:
            over, code = child.process.returncode is not None, child.process.returncode
            if signals.stop.is_set():
                click.echo("stopping: what is in flight is finished first", err=True)
            drained = await child.stop(signals.hurry)
        if signals.stop.is_set():
            return 0 if drained else EXIT_FAILED
    click.echo(f"error: the worker {died(code)}" if over else "error: the store ended by itself", err=True)
    return EXIT_FAILED


def worker_changes(settings: Settings) -> Mapping[str, str]:
    """What the worker of `edw dev` is told beside the user's own environment, which it never overrules."""
    given = settings.model_fields_set
    changes: dict[str, str] = {}
    if not settings.secrets_keys:
        changes["EDW_SECRETS_KEYS"] = make_key(settings.data_dir).get_secret_value()
    if "egress_allow" not in given:
        changes["EDW_EGRESS_ALLOW"] = LOOPBACK
    if "log_format" not in given:
        changes["EDW_LOG_FORMAT"] = "console"
    return changes


def _explain(settings: Settings, changes: Mapping[str, str]) -> None:
    folder = settings.data_dir.resolve()
    key = folder / KEY_FILE
    made = "EDW_SECRETS_KEYS" in changes
    where = "" if settings.redis_url else f", in this folder (or with EDW_DATA_DIR={folder})"
    lines = [
        f"store    {'as EDW_REDIS_URL says' if settings.redis_url else f'embedded, in {folder}'}",
        f"secrets  {f'sealed with {key}' if made else 'sealed as EDW_SECRETS_KEYS says'}",
        f"egress   {'this machine is allowed' if 'EDW_EGRESS_ALLOW' in changes else 'as EDW_EGRESS_ALLOW says'}",
        "",
        f"In another terminal{where}:",
        "  edw integrations create --name Hook --observes order.paid --url http://localhost:8000/",
        "  edw emit order.paid",
        "  edw logs --follow",
        "  edw status",
    ]
    if settings.redis_url and made:
        lines.append(f'A secret_key needs the same key there: EDW_SECRETS_KEYS="$(cat {key})"')
    click.echo("\n".join((*lines, "", "Ctrl-C stops the worker and the store.", "")))
