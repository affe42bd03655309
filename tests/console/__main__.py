"""Draws the console's pictures from a played day: `python -m tests.console FOLDER [--every]`."""

import argparse
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from tests.console.browser import Watched, chromium, watched
from tests.console.pages import ADMIN_PAGES, OPERATOR_PAGES, PAGES, at_store
from tests.console.play import PARTS, be_present, played
from tests.console.stage import STORE, Stage, staged
from worker.domain.api_token import Role

SIZE = ViewportSize(width=1240, height=820)
PHONE = ViewportSize(width=375, height=740)
#: The pictures of the README and of the console's own page.
PICTURES = {"now": "/now", "integration": f"/integrations/{PARTS[0].id}"}


def main() -> None:
    """Write the pictures into a folder."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--every", action="store_true", help="every page, light, dark and on a phone")
    given = arguments.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with staged() as stage, chromium() as browser:
        played(stage)
        if given.every:
            draw_every(stage, browser, given.folder)
        else:
            with watched(browser, stage.url, viewport=SIZE) as operator:
                operator.sign_in(stage.token(Role.ADMIN, None))
                for name, path in PICTURES.items():
                    draw(stage, operator, path, given.folder / f"{name}.png")


def draw(stage: Stage, visitor: Watched, path: str, file: Path, *, whole: bool = False) -> None:
    """Write the picture of a page."""
    stage.do(be_present(stage.api.ledger, described=path == "/fleet"))
    # Hiding the caret would add a style, which the page's policy refuses.
    visitor.open(path).screenshot(path=file, caret="initial", full_page=whole)


def draw_every(stage: Stage, browser: Browser, folder: Path) -> None:
    """Write the pictures of every page, for somebody who looks at them."""
    of_store = [*PAGES, *ADMIN_PAGES]
    for looks, scheme, viewport in (("light", "light", SIZE), ("dark", "dark", SIZE), ("phone", "light", PHONE)):
        with watched(browser, stage.url, viewport=viewport, color_scheme=scheme) as visitor:
            draw(stage, visitor, "/sign-in", folder / f"sign-in-{looks}.png")
            visitor.sign_in(stage.token(Role.ADMIN, STORE))
            for number, path in enumerate(of_store):
                draw(stage, visitor, path, folder / f"store-{number:02}-{looks}.png", whole=True)
            visitor.page.context.clear_cookies()
            visitor.sign_in(stage.token(Role.ADMIN, None))
            for number, path in enumerate((*OPERATOR_PAGES, at_store("/integrations"))):
                draw(stage, visitor, path, folder / f"operator-{number:02}-{looks}.png", whole=True)
    names = [f"{number:02} {path or '/'}" for number, path in enumerate(of_store)]
    (folder / "pages.txt").write_text("\n".join(names) + "\n")


if __name__ == "__main__":
    main()
