"""`edw dev`: Redis, a worker and the API together, until Ctrl-C."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import click

from config.settings import Settings
from worker.cli.cli_session import EXIT_FAILED, read_settings, reported_errors, warn_of_unknown_settings
from worker.cli.keys import KEY_FILE, make_key
from worker.cli.supervision import Child, Signals, died, first_of, process_changes, process_starter, redis_running
from worker.cli.token_file import TOKEN_FILE, make_access
from worker.ledger.connection.embedded_redis import EmbeddedRedis

#: Networks of receivers on this machine, for somebody who tries things out.
LOOPBACK = "127.0.0.0/8 ::1/128"


@click.command(name="dev")
def command() -> None:
    """Run a private Redis, a worker and the API, until Ctrl-C.

    Redis keeps its data in the data folder (EDW_DATA_DIR) for the next run. With EDW_REDIS_URL, that server is used
    instead. Deliveries may reach receivers on this machine. A token for the API is created and kept in the data
    folder.
    """
    settings = read_settings()
    warn_of_unknown_settings()
    with reported_errors():
        raise SystemExit(asyncio.run(_live(settings)))


async def _live(settings: Settings) -> int:
    signals = Signals.of_this_process()
    async with AsyncExitStack() as stack:
        redis: EmbeddedRedis | None = None
        if settings.redis_url is None:
            redis = EmbeddedRedis(settings.data_dir)
            await stack.enter_async_context(redis_running(redis))
        if signals.stop.is_set():
            return 0
        changes = child_changes(settings)
        token, link = await make_access(settings)
        _explain(settings, changes, token, link)
        children: dict[str, Child] = {}
        try:
            for name in ("worker", "api"):
                start = stack.enter_context(process_starter([name], settings.drain_seconds))
                children[name] = await start({**changes, **process_changes(settings, len(children))})
            ends = [child.process.wait() for child in children.values()]
            await first_of(signals.stop.wait(), *ends, *([redis.watch()] if redis else []))
        finally:
            codes = {name: child.process.returncode for name, child in children.items()}
            if signals.stop.is_set():
                click.echo("stopping once the deliveries in flight are finished", err=True)
            drained = await asyncio.gather(*(child.stop(signals.hurry) for child in children.values()))
        if signals.stop.is_set():
            return 0 if all(drained) else EXIT_FAILED
    over = [f"the {name} {died(code)}" for name, code in codes.items() if code is not None]
    click.echo(f"error: {' and '.join(over) or 'redis ended by itself'}", err=True)
    return EXIT_FAILED


def child_changes(settings: Settings) -> Mapping[str, str]:
    """Return the settings of the processes of `edw dev`; the user's own environment wins over them."""
    given = settings.model_fields_set
    changes: dict[str, str] = {}
    if not settings.secrets_keys:
        changes["EDW_SECRETS_KEYS"] = make_key(settings.data_dir).get_secret_value()
    if "egress_allow" not in given:
        changes["EDW_EGRESS_ALLOW"] = LOOPBACK
    if "log_format" not in given:
        changes["EDW_LOG_FORMAT"] = "console"
    return changes


def _explain(settings: Settings, changes: Mapping[str, str], token: str, link: str) -> None:
    folder = settings.data_dir.resolve()
    key = folder / KEY_FILE
    made = "EDW_SECRETS_KEYS" in changes
    kept, address = _shown(folder / TOKEN_FILE), _api_address(settings)
    where = "" if settings.redis_url else f", in this folder (or with EDW_DATA_DIR={folder})"
    lines = [
        f"redis    {'from EDW_REDIS_URL' if settings.redis_url else f'embedded, in {folder}'}",
        f"api      {address}",
        f"console  {address}/console/enter?link={link}  (open it in a browser; it works once)",
        f"token    {token}  (admin; kept in {kept})",
        f"secrets  {f'sealed with {key}' if made else 'sealed with EDW_SECRETS_KEYS'}",
        f"egress   {'this machine is allowed' if 'EDW_EGRESS_ALLOW' in changes else 'from EDW_EGRESS_ALLOW'}",
        "",
        f"In another terminal{where}:",
        "  edw integrations create --name Hook --observes order.paid --url http://localhost:8000/",
        "  edw emit order.paid",
        "  edw logs --follow",
        "  edw status",
        f'  curl -H "Authorization: Bearer $(cat {kept})" {address}/v2/integrations',
    ]
    if settings.redis_url and made:
        lines.append(f'To use a secret_key there, set the same key: EDW_SECRETS_KEYS="$(cat {key})"')
    click.echo("\n".join((*lines, "", "Ctrl-C stops the worker, the API and Redis.", "")))


def _api_address(settings: Settings) -> str:
    # A port of 0 is known only once the API listens; the API then logs it.
    port = settings.api_port or "<see the API's log below>"
    return settings.api_url or f"http://{settings.api_host}:{port}"


def _shown(path: Path) -> Path:
    with suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path
