"""Pages link to what exists, and name commands, settings and API paths that exist.

tests/integration/test_readme.py runs their commands.
"""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from config.settings import known_variables
from tests import pages
from tests.pages import PAGES, blocks, prose, text
from worker.api.routes import OPERATIONS
from worker.cli import edw

README = "README.md"
#: What has changed stays as it was written then.
HISTORY = "CHANGELOG.md"
NOW = tuple(page for page in PAGES if page != HISTORY)
SETTINGS = set(known_variables())
#: A setting's whole name, and not the beginning of several, such as `EDW_CIRCUIT_…`.
_SETTING = re.compile(r"\bEDW_[A-Z_]*[A-Z](?![A-Z_…])")
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_TARGET = re.compile(r"^make ([a-z]+)")


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number = next(number for number in range(100) if (f"{anchor}-{number}" if number else anchor) not in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def leads_somewhere(page: str, link: str) -> bool:
    """Whether a link of a page leads to a file and, with a fragment, to a heading of it."""
    path, _, anchor = link.partition("#")
    here = pages.ROOT / page
    target = (here.parent / path).resolve() if path else here
    if not target.exists() or pages.ROOT not in target.parents:
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(str(target.relative_to(pages.ROOT))))


def broken_links(page: str) -> list[str]:
    """Every link of a page, other than those to the web, that leads nowhere."""
    ours = (link for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link))
    return [link for link in ours if not leads_somewhere(page, link)]


def spans(page: str, program: str) -> list[list[str]]:
    """The words of each code span of a page's prose that begins with a program's name."""
    return [code.split()[1:] for code in _CODE.findall(prose(page)) if re.match(rf"{program}\s+\S", code)]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (
        "# One\n## The `code` of it!\n## One\n[a](#one) [b](#one-1) [c](#the-code-of-it) [d](https://x.example/#no)\n"
    )
    (tmp_path / "page.md").write_text(page + "[e](#two) [f](no.md) [g](page.md#one) [h](page.md#no) [i](/etc/hosts)\n")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    assert broken_links("page.md") == ["#two", "no.md", "page.md#no", "/etc/hosts"]


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert 150 <= len(text(README).splitlines()) <= 220
    linked = {link.partition("#")[0] for link in _LINK.findall(text(README))}
    assert {page for page in NOW if not page.startswith("tests/")} - linked == {README}


@pytest.mark.parametrize("page", NOW)
def test_every_setting_that_a_page_names_exists(page: str) -> None:
    assert set(_SETTING.findall(text(page))) <= SETTINGS


@pytest.mark.parametrize("page", NOW)
def test_every_command_that_a_page_mentions_exists(page: str) -> None:
    for words in spans(page, "edw"):
        found: click.Command = edw
        rest = iter(words)
        while isinstance(found, click.Group):
            word = next(rest, "")
            if word.startswith("-") or not word:
                break
            below = found.get_command(click.Context(found), word)
            assert below is not None, words
            found = below
        options = {name for each in found.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
        assert {word.strip("[]") for word in rest if word.startswith(("--", "[--"))} <= options, words


@pytest.mark.parametrize("page", NOW)
def test_every_module_that_a_page_runs_exists(page: str) -> None:
    for words in spans(page, "python"):
        if words[0] == "-m":
            assert importlib.util.find_spec(words[1]) is not None, words


def test_every_make_target_that_a_page_mentions_exists() -> None:
    mentioned = {words[0] for page in NOW for words in spans(page, "make")}
    mentioned |= {target for page in NOW for block in blocks(page, "sh") for target in _TARGET.findall(block)}
    listed = subprocess.run(["make"], cwd=pages.ROOT, capture_output=True, text=True, check=True).stdout
    assert len(mentioned) > 5
    assert mentioned <= set(re.findall(r"make (\w+)", listed))


def test_the_table_of_the_api_has_every_operation_and_no_other() -> None:
    cells = re.findall(r"^\| `([A-Z, ]+) (/\S+)` \|", text("worker/api/README.md"), re.MULTILINE)
    described = {(method, path) for methods, path in cells for method in methods.split(", ")}
    served = {(each.method, each.path) for each in OPERATIONS}
    assert described <= served, described - served
    left_out = {path for _, path in served - described}
    assert left_out <= {"/", "/openapi.json", "/healthz", "/readyz"}, left_out


def test_a_receiver_drops_what_is_stale_as_the_page_says() -> None:
    lines = pages.block("deliverers/README.md", "python", "stale")
    body = "def take(event, newest):\n" + "".join(f"    {line}\n" for line in lines.splitlines())
    scope: dict[str, Any] = {}
    exec(body, scope)
    newest: dict[tuple[str, str], int] = {}
    events = [
        {"sequence": sequence, "payload": {"data": {"type": "order", "id": identity}}}
        for identity, sequence in (("1", 5), ("1", 4), ("2", 1), ("1", 5), ("1", 6))
    ]
    assert [scope["take"](event, newest) for event in events] == [None, "stale", None, "stale", None]
    assert newest == {("order", "1"): 6, ("order", "2"): 1}
