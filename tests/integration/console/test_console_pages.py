"""The pages in a real browser: what each shows to whom, with the keyboard, without JavaScript, with hostile content."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.browser import Watched, watched
from tests.console.pages import ADMIN_PAGES, ERP, JOB, OPERATOR_PAGES, PAGES, at_store
from tests.console.play import EVENT_ID, PARTS
from tests.console.stage import OTHER, STORE, Stage
from tests.ledger.scene import settlement
from tests.samples import an_event, an_integration
from worker.domain.api_token import Role
from worker.domain.job import job_id
from worker.ledger import Verdict
from worker.ledger.lanes.claims import Opening

#: A page of each template, for the slow examination.
EXAMINED = (
    *("/integrations", ERP, f"{ERP}?tab=attempts", f"{ERP}?tab=settings", f"{ERP}/jobs/{JOB}/attempts/3"),
    *(f"/events/{EVENT_ID}", f"/events/{EVENT_ID}/erase", "/events", "/events?type=order&id=123", "/audit"),
    *(f"{ERP}?tab=changes", f"{ERP}/jobs/{JOB}/attempts/3?tab=request"),
    *("/attempts", "/search?q=x", "/failing", f"{ERP}/edit", f"{ERP}/filter", f"{ERP}/redeliver", "/no-such-page"),
)


@pytest.fixture
def operator(stage: Stage, browser: Browser) -> Iterator[Watched]:
    """An operator with the role admin, signed in."""
    with watched(browser, stage.url) as made:
        made.sign_in(stage.token(Role.ADMIN, None))
        yield made


@pytest.fixture
def owner(stage: Stage, browser: Browser) -> Iterator[Watched]:
    """An admin of the store, signed in."""
    with watched(browser, stage.url) as made:
        made.sign_in(stage.token(Role.ADMIN, STORE))
        yield made


def test_every_page_shows_a_reader_what_is_the_stores(stage: Stage, browser: Browser) -> None:
    with watched(browser, stage.url) as reader:
        reader.sign_in(stage.token(Role.READ, STORE))
        for path, text in PAGES.items():
            page = reader.open(path)
            expect(page.locator("main")).to_contain_text(text)
            assert page.get_by_role("button", name="Test delivery").count() == 0
            assert "globex" not in page.content(), path
        assert "ada@example.com" not in reader.open(f"/events/{EVENT_ID}").content()


def test_an_admin_and_an_operator_have_more(owner: Watched, operator: Watched) -> None:
    for path, text in (PAGES | ADMIN_PAGES).items():
        expect(owner.open(path).locator("main")).to_contain_text(text)
    expect(owner.open(f"/events/{EVENT_ID}").locator("main")).to_contain_text("ada@example.com")
    for path, text in OPERATOR_PAGES.items():
        expect(operator.open(path).locator("main")).to_contain_text(text)


def test_axe_finds_nothing_on_any_page_in_either_theme(stage: Stage, browser: Browser) -> None:
    # What axe does to a page is not the page's own, so its policy does not count here.
    with watched(browser, stage.url, bypass_csp=True) as operator:
        # A page must not refresh itself while axe looks at it.
        operator.page.context.route("**/console.js*", lambda route: route.abort())
        found = operator.axe("/sign-in")
        operator.sign_in(stage.token(Role.ADMIN, None))
        for path in (*map(at_store, EXAMINED), *OPERATOR_PAGES, "/enter"):
            found += operator.axe(path)
    assert found == []


def test_on_a_phone_no_page_is_wider_than_the_screen(stage: Stage, browser: Browser) -> None:
    with watched(browser, stage.url, viewport={"width": 360, "height": 740}) as phone:
        phone.sign_in(stage.token(Role.ADMIN, STORE))
        for path in PAGES | ADMIN_PAGES:
            assert phone.open(path).evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_slash_key_leads_to_the_search_and_the_search_to_what_it_names(owner: Watched) -> None:
    for text, address in (
        (EVENT_ID, f"/events/{EVENT_ID}"),
        (PARTS[0].id, ERP),
        (JOB, f"/events/{EVENT_ID}"),
        ("wms.acme", "/search?q=wms.acme"),
    ):
        page = owner.open("/now")
        page.keyboard.press("/")
        page.keyboard.type(text)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/console{address}")
    expect(owner.page.get_by_role("link", name="Warehouse")).to_be_visible()


def test_an_operator_finds_an_id_of_any_store(operator: Watched) -> None:
    page = operator.open(f"/search?q={PARTS[8].id}")
    expect(page.get_by_role("heading", name="Fulfilment")).to_be_visible()


def test_an_operator_runs_the_checks_of_the_doctor(operator: Watched) -> None:
    page = operator.open("/fleet")
    page.get_by_role("button", name="Run the checks").click()
    expect(page.locator(".results")).to_contain_text("may run all")


def test_an_owner_tries_a_filter_and_keeps_it(owner: Watched) -> None:
    warehouse = f"/integrations/{PARTS[1].id}"
    page = owner.open(f"{warehouse}/filter")
    for given, answer in (
        ('{"data": {"total": {"amount": {"$gte": 100}}}}', "/data/total/amount/$gte expects at least 100"),
        ('{"data": {"items": {"sku": "MUG-BLUE"}}}', "The event matches."),
    ):
        page.get_by_label("Filter").fill(given)
        page.get_by_label("Id of a stored event").fill(EVENT_ID)
        page.get_by_role("button", name="Try").click()
        expect(page.get_by_role("status")).to_contain_text(answer)
    page.get_by_label("Filter").fill("{")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_role("alert")).to_contain_text("must be an object such as")
    page = owner.open(f"{warehouse}/edit")
    page.get_by_label("Filter").fill('{"data": {"status": "paid"}}')
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text('{"data": {"status": "paid"}}')


def refreshed(page: Page) -> None:
    """What the page's script does every few seconds."""
    page.evaluate("htmx.trigger(document.querySelector('main[data-live]'), 'refresh')")


def test_a_page_refreshes_itself_again_and_again(stage: Stage, operator: Watched) -> None:
    integrations = stage.api.ledger.integrations
    lane = f"/integrations/{PARTS[9].id}"
    page = operator.open(lane)
    for name in ("Cache one", "Cache two"):
        (found,) = stage.do(integrations.get([PARTS[9].id]))
        stage.do(integrations.put(replace(found, name=name), renewed=False))
        refreshed(page)
        expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_a_refresh_after_the_session_has_ended_leads_to_the_sign_in(stage: Stage, browser: Browser) -> None:
    with watched(browser, stage.url) as visitor:
        page = visitor.sign_in(stage.token(Role.READ, STORE))
        page.context.clear_cookies()
        refreshed(page)
        page.wait_for_url("**/console/sign-in")


def test_everything_works_without_javascript(stage: Stage, browser: Browser) -> None:
    with watched(browser, stage.url, java_script_enabled=False) as visitor:
        page = visitor.sign_in(stage.token(Role.ADMIN, OTHER))
        page.get_by_role("link", name="ERP", exact=True).click()
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("main")).to_contain_text("Its events are kept")
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("link", name="Redeliver…").click()
        page.get_by_label("Deliveries that").select_option("succeeded")
        page.get_by_role("button", name="Count them").click()
        expect(page.locator("main")).to_contain_text("Nothing has been sent yet")
        page.get_by_role("button", name="Redeliver 1", exact=True).click()
        expect(page.locator("main")).to_contain_text("deliveries are due again.")
        page = visitor.open("/events?type=order&id=123")
        page.get_by_role("link", name="order.paid").first.click()
        page.get_by_role("link", name="attempt 1").first.click()
        page.get_by_role("link", name="Request").click()
        expect(page.get_by_label("The curl command")).to_contain_text("curl -X POST https://erp.globex.example/hooks")
        page = visitor.open("/events/order-119-paid")
        page.get_by_role("link", name="Erase…").click()
        page.get_by_role("button", name="Erase for good").click()
        expect(page.locator("main")).to_contain_text("This event was erased")
        page.get_by_role("link", name="Who erased it?").click()
        expect(page.locator("main")).to_contain_text("erased event order-119-paid")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()


MARKUP = "<script>alert('x')</script><img src=x onerror=alert(1)>"
HOSTILE = (
    MARKUP,
    "\"'><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\x1b[31m\u202egnp.exe\u2066 \u200b",
    "<main hx-get='https://evil.example/' hx-trigger='load'>",
    "W" * 200,
)


def test_hostile_content_does_nothing(stage: Stage, browser: Browser) -> None:
    # In a scope of its own, whose names are hostile too.
    scope = replace(STORE, store_id="<b>store</b>")
    lane, event_id = "e0000000-0000-4000-8000-00000000aaaa", "<script>alert(2)</script>/../?q=1#x"
    stage.do(plant_hostile(stage, scope, lane, event_id))
    with watched(browser, stage.url) as visitor:
        visitor.sign_in(stage.new_token(Role.ADMIN, scope))
        page = visitor.open(f"/integrations/{lane}")
        page.get_by_role("link", name="<script>alert(2)</script>/../?q=1#x").first.click()
        expect(page.locator("main")).to_contain_text("<script>alert('x')</script>")
        expect(page.locator("pre")).to_contain_text(r"\u001b[31m\u202egnp.exe")
        page.get_by_role("link", name="attempt 1").click()
        expect(page.locator("pre")).to_contain_text(MARKUP)
        lists = ("", "/integrations", "/attempts", "/events", "/failing", f"/search?q={MARKUP}")
        for path in (*lists, f"/integrations/{lane}?tab=settings"):
            expect(visitor.open(path).locator("main")).to_contain_text("<")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert page.locator("main img, main script, main [onload], main main").count() == 0


async def plant_hostile(stage: Stage, scope: object, lane: str, event_id: str) -> None:
    """An integration, an event and an attempt of which everything is hostile, and the answer is 64 KiB long."""
    ledger = stage.api.ledger
    made = an_integration(lane, scope=scope, name="".join(HOSTILE), description=MARKUP, configuration={"url": MARKUP})
    await ledger.integrations.put(made)
    data = b'{"text": "<script>alert(\'x\')</script>\\u001b[31m\\u202egnp.exe"}'
    event = an_event(event_id, made.scope, data)
    await ledger.inbox.accept([event])
    (stored,) = (await ledger.inbox.load([event.ref])).events
    opened = await ledger.jobs.open([(stored, [Opening(job_id(event.ref, lane), lane)], True)], room=1)
    why = "".join(HOSTILE)
    settled = settlement(opened.claims[0], Verdict.RETRY, delay=240, detail=why, healthy=False, why=why)
    body = (MARKUP + "\x1b]0;title\x07" + "x" * 65_536)[:65_536]
    log = replace(settled.log, body=body, event_id=event_id, event_type="order.paid")
    await ledger.jobs.settle([replace(settled, log=log)])


def test_an_admin_gives_headers_and_patience_and_makes_and_rotates_keys(stage: Stage, browser: Browser) -> None:
    with watched(browser, stage.url) as visitor:
        visitor.sign_in(stage.new_token(Role.ADMIN, replace(STORE, store_id="signed")))
        page = visitor.open("/integrations/new")
        page.locator("[name=name]").fill("Signed")
        page.locator("[name='configuration.url']").fill("https://erp.example/hook")
        page.locator("[name='configuration.headers']").fill("Connection: close\nX-Tenant: acme")
        page.locator("[name=timeout]").fill("20")
        page.locator("[name=retry_schedule]").fill("5s 1m")
        page.get_by_label("order.paid", exact=True).check()
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("alert")).to_contain_text("configuration.headers.Connection: must not be given")
        page.locator("[name='configuration.headers']").fill("X-Api-Key: the-secret-of-the-shop\nX-Tenant: acme")
        page.get_by_role("button", name="Create").click()
        page.get_by_role("link", name="Settings").click()
        main = page.locator("main")
        for text in ('"X-Api-Key":', "********", "20.0 s", "5.0 s, 60.0 s", "No key signs."):
            expect(main).to_contain_text(text)
        expect(main).not_to_contain_text("the-secret-of-the")
        page.get_by_role("button", name="Make a key").click()
        expect(main.get_by_text("whpk_")).to_have_count(1)
        page.get_by_role("button", name="Rotate").click()
        expect(main.get_by_text("whpk_")).to_have_count(2)
        expect(main).to_contain_text("signs until")
        page.get_by_text("Delete keys…").click()
        page.get_by_role("button", name="Delete the keys").click()
        expect(main).to_contain_text("No key signs.")
