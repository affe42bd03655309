"""The `edw` command. Each command's module is imported only when it is called, so that `edw --help` is quick.

Exit codes: 0 done; 1 something was refused or failed; 2 wrong usage; 3 no Redis was found, or it does not answer.
"""

import sys
from collections.abc import Mapping
from importlib import import_module

import click

from worker.cli.streams import make_visible, undecodable

#: Command → (its module, what it does in a line).
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("worker.cli.demo", "See one event go all the way, on this machine, in seconds."),
    "dev": ("worker.cli.commands.dev", "Run a private Redis, a worker and the API, until Ctrl-C."),
    "worker": ("worker.cli.commands.worker", "Run a worker: one process, or several."),
    "api": ("worker.cli.commands.api", "Serve the Integrations API: one process, or several."),
    "emit": ("worker.cli.commands.emit", "Publish an event, or a file of events."),
    "integrations": ("worker.cli.commands.integrations", "List, show, create, update, pause and delete integrations."),
    "secrets": ("worker.cli.commands.secrets", "Seal the secrets of integrations with a new key."),
    "tokens": ("worker.cli.commands.tokens", "Make, list and revoke the API's tokens."),
    "jobs": ("worker.cli.commands.jobs", "See what is owed, and what became of it."),
    "logs": ("worker.cli.commands.logs", "See the log of every attempt."),
    "rejected": ("worker.cli.commands.rejected", "See refused events whose producer got no answer."),
    "health": ("worker.cli.commands.health", "Ask a process on this machine whether it is well."),
    "status": ("worker.cli.commands.status", "See whether the ledger balances, and what waits."),
    "doctor": ("worker.cli.commands.doctor", "Look at all that it stands on, and say what to do; mend the ledger."),
    "completion": ("worker.cli.commands.completion", "Print the completion script of your shell."),
}

_EPILOG = """\
The ledger is in the Redis or Valkey that EDW_REDIS_URL names, else in the embedded one that "edw dev" runs on the
same data folder (EDW_DATA_DIR).

\b
Exit codes: 0 done; 1 something was refused or failed;
            2 wrong usage; 3 no Redis, or it does not answer.

Completion: edw completion --help
"""


class _Commands(click.Group):
    """A group that knows its commands by name and imports them by need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)  # noqa: S101  (a module of the table above)
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


def main() -> None:
    """The entry point of `edw`."""
    make_visible()
    if number := undecodable(sys.argv[1:]):
        click.echo(f"Usage: edw [OPTIONS] COMMAND [ARGS]...\n\nError: argument {number} is not UTF-8", err=True)
        raise SystemExit(2)
    edw.main(prog_name="edw")
