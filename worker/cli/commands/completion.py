"""`edw completion`: click's completion script, ready to be sourced."""

import click
from click.shell_completion import get_completion_class

from worker.cli import edw

_SHELLS = ("bash", "zsh", "fish")


@click.command(name="completion")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print the completion script of your shell.

    \b
    bash: echo 'eval "$(edw completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(edw completion zsh)"' >> ~/.zshrc
    fish: edw completion fish > ~/.config/fish/completions/edw.fish
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101  (click knows all three)
    click.echo(made(edw, {}, "edw", "_EDW_COMPLETE").source())
