"""Names of classes and modules occur once."""

from pathlib import Path

import pytest

from tests.checks.class_names import ROOT, main, repeated, sources


def found(**modules: str) -> list[str]:
    """What is wrong with these modules; `__` in a name is a slash."""
    return repeated({Path(name.replace("__", "/") + ".py"): source for name, source in modules.items()})


def test_each_name_occurs_once_here() -> None:
    modules = sources(ROOT)
    assert {path.parts[0] for path in modules} == {"config", "deliverers", "worker"}
    assert repeated(modules) == []


def test_a_class_that_is_defined_twice_is_named_with_its_places() -> None:
    (problem,) = found(worker__a="class Lost: ...", deliverers__b="import os\n\n\nclass Lost(Exception): ...")
    assert problem.startswith("class Lost is defined 2 times")
    assert problem.endswith(": deliverers/b.py:4, worker/a.py:1")


@pytest.mark.parametrize(
    "source",
    [
        "class A: ...\nclass A: ...",
        "class A: ...\nclass B:\n    class A: ...",
        "class A: ...\ndef f():\n    class A: ...",
        "if True:\n    class A: ...\nelse:\n    class A: ...",
    ],
)
def test_a_class_is_found_wherever_it_is_defined(source: str) -> None:
    (problem,) = found(worker__a=source)
    assert problem.startswith("class A is defined 2 times")


def test_what_is_a_modules_own_may_occur_anywhere() -> None:
    assert found(worker__a="class _Head: ...", config__b="class _Head: ...\nHead = _Head") == []


def test_a_module_that_occurs_twice_is_named_with_its_places() -> None:
    (problem,) = found(worker__domain__batches="", deliverers__aws_sqs__batches="", config__logging="")
    assert problem.startswith("module batches is defined 2 times")
    assert problem.endswith(": deliverers/aws_sqs/batches.py:1, worker/domain/batches.py:1")


def test_packages_entry_points_and_commands_have_the_names_that_they_must_have() -> None:
    modules = {"worker/__init__.py", "config/__init__.py", "worker/cli/__main__.py", "worker/__main__.py"}
    commands = {"worker/cli/commands/logs.py", "worker/domain/logs.py"}
    assert repeated(dict.fromkeys(map(Path, modules | commands), "")) == []


def test_the_command_fails_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("config", "deliverers", "worker"):
        (tmp_path / package).mkdir()
    (tmp_path / "worker/one.py").write_text("class A: ...\n")
    assert main(tmp_path) == 0
    (tmp_path / "config/two.py").write_text("class A: ...\n")
    assert main(tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        "class A is defined 2 times; give each its own name: config/two.py:1, worker/one.py:1"
    ]
