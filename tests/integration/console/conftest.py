"""A console with a played day, and a browser: one of each for all tests of a module."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.console.browser import chromium
from tests.console.play import played
from tests.console.stage import Stage, staged


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A served console, whose ledger has a played day."""
    with staged() as made:
        yield played(made)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started
