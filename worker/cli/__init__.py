"""The `edw` command. It imports a command's module only when that command runs, so that `edw --help` is quick.

Exit codes: 0 success; 1 something was refused or failed; 2 wrong usage; 3 no Redis was found, or it does not answer.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module

import click

from config.lean_imports import absent
from worker.cli.streams import make_visible, undecodable
from worker.event_loop.collector import resting

#: Command → (its module, its summary).
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("worker.cli.demo", "Deliver one event on this machine, in seconds, and check it."),
    "dev": ("worker.cli.commands.dev", "Run a private Redis, a worker and the API, until Ctrl-C."),
    "worker": ("worker.cli.commands.worker", "Run a worker: one process, or several."),
    "api": ("worker.cli.commands.api", "Serve the Integrations API: one process, or several."),
    "emit": ("worker.cli.commands.emit", "Publish an event, or a file of events."),
    "integrations": ("worker.cli.commands.integrations", "List, show, create, update, pause and delete integrations."),
    "secrets": ("worker.cli.commands.secrets", "Seal the secrets of integrations with a new key."),
    "tokens": ("worker.cli.commands.tokens", "Make, list and revoke the API's tokens."),
    "jobs": ("worker.cli.commands.jobs", "List and show jobs: events owed to integrations."),
    "events": ("worker.cli.commands.events", "Erase events, and the answers to them."),
    "find": ("worker.cli.commands.find", "Say who got a resource's events, who did not, and why."),
    "logs": ("worker.cli.commands.logs", "Show the logs of attempts."),
    "audit": ("worker.cli.commands.audit", "List the changes that people made."),
    "rejected": ("worker.cli.commands.rejected", "List refused events whose producer got no answer."),
    "health": ("worker.cli.commands.health", "Check the health of a process on this machine."),
    "status": ("worker.cli.commands.status", "Show whether the ledger balances, and what waits."),
    "history": ("worker.cli.commands.history", "Prepare the history in PostgreSQL, show and export it."),
    "clock": ("worker.cli.commands.clock", "Show the ledger's time; confirm a leap of Redis's clock."),
    "doctor": ("worker.cli.commands.doctor", "Check the installation and say what to do; repair the ledger."),
    "completion": ("worker.cli.commands.completion", "Print the completion script of your shell."),
}

#: Commands that use no ledger.
WITHOUT_LEDGER = ("completion",)

_EPILOG = """\
The ledger is in the Redis or Valkey that EDW_REDIS_URL names. If that is not set, it is in the embedded Redis that
"edw dev" runs on the same data folder (EDW_DATA_DIR).

Settings are variables EDW_…; any of them may come from a file, such as EDW_REDIS_URL_FILE=/run/secrets/redis_url.

\b
Exit codes: 0 success; 1 something was refused or failed;
            2 wrong usage; 3 no Redis, or it does not answer.

Completion: edw completion --help
"""


class _Commands(click.Group):
    """A group that imports a command only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with _quick_start() if cmd_name not in WITHOUT_LEDGER else nullcontext():
            command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)  # noqa: S101  (every module of COMMANDS has one)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="event-delivery-worker", prog_name="edw")
def edw() -> None:
    """Deliver a commerce platform's events to its customers' integrations, and prove it."""


@contextmanager
def _quick_start() -> Iterator[None]:
    """Have a process start quickly: without collections during the imports of the block, and leanly."""
    with resting():
        with absent("rich", "opentelemetry"):
            # What imports these two packages where they are there: structlog and redis-py.
            for name in ("config.logging", "worker.ledger.connection.redis_client"):
                import_module(name)
        yield


def main() -> None:
    """Run `edw`."""
    make_visible()
    if number := undecodable(sys.argv[1:]):
        click.echo(f"Usage: edw [OPTIONS] COMMAND [ARGS]...\n\nError: argument {number} is not UTF-8", err=True)
        raise SystemExit(2)
    edw.main(prog_name="edw")
