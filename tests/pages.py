"""The project's pages: their paths, their fenced blocks, and their commands."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FOLDERS = ("config", "deliverers", "deploy", "worker", "tests")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

#: Every page, by its path from the root.
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in sorted([*ROOT.glob("*.md"), *(path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.md"))])
)


@cache
def text(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text()


def fences(page: str) -> list[tuple[str, str]]:
    """Return the language and the content of each fenced block."""
    return _FENCE.findall(text(page))


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [content for found, content in fences(page) if found == language]


def block(page: str, language: str, containing: str) -> str:
    """Return the one block of a language that contains some text."""
    (found,) = (content for content in blocks(page, language) if containing in content)
    return found


def prose(page: str) -> str:
    """Return a page's text without its fenced blocks."""
    return _FENCE.sub("", text(page))


def lines_of(session: str) -> list[str]:
    """Return the command lines of a block, without their comments."""
    return [line.split("  #")[0].strip() for line in session.splitlines() if line.strip()]


def commands(page: str) -> list[str]:
    """Return every command line of a page."""
    return [line for session in blocks(page, "sh") for line in lines_of(session)]


def command(page: str, start: str) -> str:
    """Return the one command of a page that starts with some text."""
    (found,) = (line for line in commands(page) if line.startswith(start))
    return found
