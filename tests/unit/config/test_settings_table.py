import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings, variable
from config.settings_table import main, settings_table, with_table

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_has_the_table_as_the_settings_make_it() -> None:
    content = README.read_text()
    assert content == with_table(content), "stale: run make fmt"


def test_every_setting_has_its_row() -> None:
    table = settings_table()
    for field in Settings.model_fields:
        assert f"| `{variable(field)}` |" in table
    assert "| `EDW_WEBHOOK_TIMEOUT` | `10s` | duration |" in table, "a default is shown as it is written"


def test_a_stale_table_is_told_and_renewed(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("before\n<!-- settings:begin -->\nold\n<!-- settings:end -->\nafter\n")
    assert "stale" in str(main(["--check", str(file)]))
    assert main(["--write", str(file)]) is None
    assert main(["--check", str(file)]) is None
    assert file.read_text().startswith("before\n")
    assert file.read_text().endswith("\nafter\n")


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="settings:begin"):
        with_table("nothing")


def test_it_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "config.settings_table"], capture_output=True, text=True, check=True)
    assert done.stdout == settings_table() + "\n"
    assert "usage" in str(main(["--frobnicate"]))
