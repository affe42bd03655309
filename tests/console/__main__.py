"""Draws the console's pictures from a played day: `python -m tests.console FOLDER`."""

import sys
from pathlib import Path

from playwright.sync_api import ViewportSize

from tests.console.browser import chromium, watched
from tests.console.play import PARTS, played
from tests.console.stage import staged
from worker.domain.api_token import Role

SIZE = ViewportSize(width=1240, height=820)
PICTURES = {"now": "/now", "integration": f"/integrations/{PARTS[0].id}"}


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    with staged() as stage, chromium() as browser, watched(browser, played(stage).url, viewport=SIZE) as operator:
        operator.sign_in(stage.token(Role.ADMIN, None))
        for name, path in PICTURES.items():
            # Hiding the caret would add a style, which the page's policy refuses.
            operator.open(path).screenshot(path=folder / f"{name}.png", caret="initial")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
