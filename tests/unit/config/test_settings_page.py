import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

from config import settings_page as settings_page_module
from config.settings import Settings, variable
from config.settings_page import TOPICS, main, settings_page

PAGE = Path(__file__).parents[3] / "config" / "SETTINGS.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == settings_page(), "stale: run make fmt"


def test_every_setting_has_one_row() -> None:
    page = settings_page()
    for field in Settings.model_fields:
        assert page.count(f"| `{variable(field)}` |") == 1, field
    assert "| `EDW_WEBHOOK_TIMEOUT` | `10s` | duration |" in page, "a default is shown in the user's spelling"
    assert "| `EDW_API_URL` |  | URL |" in page, "an empty default is an empty cell"


def test_a_row_stands_in_the_section_of_its_topic() -> None:
    sections = settings_page().split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == list(TOPICS)
    for section, fields in zip(sections, TOPICS.values(), strict=True):
        rows = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
        assert rows == [variable(field) for field in fields]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"Secrets": ()}, "secrets_keys"),
        ({"Secrets": ("secrets_keys", "lane_cap")}, "lane_cap"),
        ({"Secrets": ("secrets_keys", "colour")}, "colour"),
    ],
    ids=["missing", "twice", "unknown"],
)
def test_a_setting_outside_the_topics_is_an_error_that_names_it(
    changed: dict[str, tuple[str, ...]], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_page_module, "TOPICS", MappingProxyType({**TOPICS, **changed}))
    with pytest.raises(ValueError, match=f"TOPICS: {named} must be a setting"):
        settings_page()


def test_a_stale_page_is_refused_and_renewed(tmp_path: Path) -> None:
    file = tmp_path / "SETTINGS.md"
    file.write_text("old\n")
    assert "is stale" in str(main(["--check", str(file)]))
    assert main(["--write", str(file)]) is None
    assert main(["--check", str(file)]) is None


def test_it_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "config.settings_page"], capture_output=True, text=True, check=True)
    assert done.stdout == settings_page()
    assert "usage" in str(main(["--frobnicate"]))
