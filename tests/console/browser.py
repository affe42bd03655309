"""A browser that watches what pages do: requests that leave the origin, violations of the policy, errors of scripts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    WebError,
    expect,
    sync_playwright,
)

#: A test passes on a machine ten times slower, too.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)

CHROMIUM = Path("/usr/bin/chromium")
_AXE = (Path(__file__).parent / "axe-4.14.1.min.js").read_text()
#: The rules of WCAG 2.2 AA, and what axe calls good practice.
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Watched:
    """A page of a browser, with everything about it that is wrong."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Open a page of the console, and return it."""
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, token: str) -> Page:
        """Sign in with a token, as people do."""
        self.open("/sign-in")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        return self.page

    def axe(self, path: str) -> list[str]:
        """Return what axe-core finds on a page: in the light theme everything, in the dark one its contrasts."""
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        # Not as a script element, which the policy of the page refuses.
        self.open(path).evaluate(_AXE)
        found = self._axe(f"{path} light", {"type": "tag", "values": _TAGS})
        self.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        return found + self._axe(f"{path} dark", {"type": "rule", "values": ["color-contrast"]})

    def _axe(self, name: str, rules: Any) -> list[str]:
        options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False}
        found: Any = self.page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{name} {each['id']}: {node['html'][:160]} {node['any'][0]['message'][:200] if node['any'] else ''}"
            for each in found["violations"]
            for node in each["nodes"]
        ]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium, which finds no server but the console's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """Open a page in a context of its own; at the end of the block, nothing about it may be wrong."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    try:
        found = Watched(context.new_page(), url)
        _watch(context, found)
        yield found
        assert found.wrong == []
    finally:
        context.close()


def _watch(context: BrowserContext, found: Watched) -> None:
    origin = found.url.rsplit("/", 1)[0] + "/"

    def see_request(request: Request) -> None:
        if not request.url.startswith(origin):
            found.wrong.append(f"a request left the origin: {request.url}")

    def see_message(message: ConsoleMessage) -> None:
        # A refused form is answered with an error's status, which Chromium writes down too.
        if message.type == "error" and "Failed to load resource" not in message.text:
            found.wrong.append(message.text)

    def see_dialog(dialog: Dialog) -> None:
        found.wrong.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def see_error(error: WebError) -> None:
        found.wrong.append(str(error.error))

    context.on("request", see_request)
    context.on("console", see_message)
    context.on("dialog", see_dialog)
    context.on("weberror", see_error)
