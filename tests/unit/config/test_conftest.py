"""What tests/conftest.py promises: in CI no test is skipped unseen, and no output holds a secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[2] / "conftest.py"
SKIPS = "import pytest\n\ndef test_it():\n    pytest.skip('no broker here')\n"


LEAKS = """
import logging

def test_prints():
    print("x planted-secret y")

def test_logs():
    logging.getLogger("x").warning("the password is s3cret")

def test_neither():
    pass
"""


def run(folder: Path, ci: str = "") -> "subprocess.CompletedProcess[str]":
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(CONFTEST.parents[1])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("ci", "expected"), [("true", 1), ("", 0)])
@pytest.mark.parametrize("content", [SKIPS, "import pytest\npytest.importorskip('no_such_module')\n"])
def test_a_skipped_test_fails_in_ci_and_is_named(tmp_path: Path, ci: str, expected: int, content: str) -> None:
    (tmp_path / "test_skips.py").write_text(content + "\n\ndef test_passes():\n    pass\n")
    (tmp_path / "test_passes.py").write_text("def test_passes():\n    pass\n")
    done = run(tmp_path, ci)
    assert done.returncode == expected, done.stdout
    assert ("skipped, which CI does not allow" in done.stdout) is bool(expected)
    assert "test_skips.py" in done.stdout or not expected


def test_a_secret_in_what_a_test_prints_or_logs_fails_it(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "2 failed, 1 passed" in done.stdout
    assert "a secret was printed or logged" in done.stdout
