import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from worker.cli import COMMANDS, edw


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there_and_has_its_name(name: str) -> None:
    command = edw.get_command(click.Context(edw), name)

    assert command is not None
    assert command.name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(edw, [name, "--help"])

    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_help_imports_no_command() -> None:
    modules = {import_module(module).__name__ for module, _ in COMMANDS.values()}
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom worker.cli import edw\n"
        "assert CliRunner().invoke(edw, ['--help']).exit_code == 0\nprint('\\n'.join(sys.modules))"
    )

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not modules & set(loaded)
    assert not {"redis", "celery", "pydantic", "rich"} & set(loaded)


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(edw, ["integration"])

    assert result.exit_code == 2
    assert "integration" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    result = CliRunner().invoke(edw, ["completion", shell])

    assert result.exit_code == 0
    assert "_EDW_COMPLETE" in result.output
