"""A whole story: an ERP's certificate expires, the operator finds it, and the customer mends it in the console."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from playwright.sync_api import Browser, expect

from tests.console.browser import watched
from tests.console.stage import STORE, Stage, staged
from tests.fleet.processes import WorkerProcess
from tests.samples import an_event
from worker.domain.api_token import Role

#: Long before the test gives up: the broken delivery waits for its next attempt until somebody mends it.
LATER = "1h"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A console without a played day, whose failed deliveries wait for an hour."""
    with staged(EDW_RETRY_SCHEDULE=LATER) as made:
        yield made


@pytest.fixture
def worker(stage: Stage, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker on the console's ledger."""
    started = WorkerProcess("edw worker", stage.environment, tmp_path / "worker.log")
    yield started
    started.end()


class Erp:
    """A receiver that answers over TLS with an expired certificate, and without TLS as it should."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.broken = self.mended = ""
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        expired = trustme.CA().issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=2))
        expired.configure_cert(context)
        for tls in (context, None):
            await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        ports = [address[1] for address in self._runner.addresses]
        self.broken, self.mended = f"https://127.0.0.1:{ports[0]}/hook", f"http://127.0.0.1:{ports[1]}/hook"

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((await request.json())["id"])
        return web.json_response({"taken": True})

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


@pytest.fixture
def erp(stage: Stage) -> Iterator[Erp]:
    made = Erp()
    stage.do(made.open())
    yield made
    stage.do(made.close())


def test_an_operator_finds_a_broken_receiver_and_its_owner_mends_it(
    stage: Stage, browser: Browser, worker: WorkerProcess, erp: Erp
) -> None:
    with watched(browser, stage.url) as owner, watched(browser, stage.url) as operator:
        # The customer creates the integration.
        page = owner.sign_in(stage.token(Role.ADMIN, STORE))
        page.get_by_role("link", name="Integrations", exact=True).click()
        page.get_by_role("link", name="New integration").click()
        page.get_by_label("Name", exact=True).fill("ERP")
        page.get_by_label("url", exact=True).fill(erp.broken)
        page.get_by_label("order.paid", exact=True).check()
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("heading", name="ERP")).to_be_visible()
        # An event comes, and its delivery fails.
        stage.do(stage.api.services.intake.accept([an_event("order-123-paid", STORE)]))
        desk = operator.sign_in(stage.token(Role.READ, None))
        group = desk.locator(".group")
        expect(group).to_contain_text("certificate", timeout=120_000)
        # The operator finds the reason in three clicks: the integration, the attempt, the event.
        group.get_by_role("link", name="ERP").click()
        expect(desk.locator("main")).to_contain_text("Next attempt")
        desk.get_by_role("link", name="Attempt 1").click()
        expect(desk.locator("main")).to_contain_text("certificate")
        desk.get_by_role("link", name="order-123-paid").click()
        expect(desk.locator("main")).to_contain_text("owed")
        # The customer mends the address, tests it, and sees the event delivered.
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("url", exact=True).fill(erp.mended)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main")).to_contain_text(erp.mended)
        page.get_by_role("button", name="Test delivery").click()
        expect(page.get_by_role("heading", name="The test was delivered")).to_be_visible()
        page.get_by_role("link", name="Back to its deliveries").click()
        expect(page.get_by_role("row").filter(has_text="order-123-paid")).to_contain_text("delivered")
        assert "order-123-paid" in erp.got
        # A redelivery of all that was delivered runs to its end.
        page.get_by_role("link", name="Redeliver…").click()
        page.get_by_label("Deliveries that").select_option("succeeded")
        page.get_by_role("button", name="Count them").click()
        page.get_by_role("button", name="Redeliver 1", exact=True).click()
        expect(page.locator("main")).to_contain_text("deliveries are due again.")
        page.get_by_role("link", name="Back").click()
        expect(page.get_by_role("row").filter(has_text="order-123-paid")).to_contain_text("delivered")
        desk.goto(stage.url)
        expect(desk.locator("main")).to_contain_text("Nothing fails.")
