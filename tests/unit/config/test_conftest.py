"""What tests/conftest.py promises: in CI no test is skipped unseen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[2] / "conftest.py"
SKIPS = "import pytest\n\ndef test_it():\n    pytest.skip('no broker here')\n"


@pytest.mark.parametrize(("ci", "expected"), [("true", 1), ("", 0)])
@pytest.mark.parametrize("content", [SKIPS, "import pytest\npytest.importorskip('no_such_module')\n"])
def test_a_skipped_test_fails_in_ci_and_is_named(tmp_path: Path, ci: str, expected: int, content: str) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_skips.py").write_text(content + "\n\ndef test_passes():\n    pass\n")
    (tmp_path / "test_passes.py").write_text("def test_passes():\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "CI": ci},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stdout
    assert ("skipped, which CI does not allow" in done.stdout) is bool(expected)
    assert "test_skips.py" in done.stdout or not expected
