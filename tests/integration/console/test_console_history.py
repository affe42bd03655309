"""The console of a deployment with a history: charts beyond a day, and what the archive is doing."""

import os
import re
from collections.abc import Iterator
from html import unescape

import pytest

from tests.console.stage import STORE, Stage, staged
from tests.console.visitor import signed_in, words
from tests.counterparts.postgres import PostgresServer
from tests.integration.history.archive import KEPT, archive
from tests.ledger.scene import LedgerScene, playing_on
from tests.ledger.surgery import age_ended_jobs
from tests.samples import an_event
from worker.console.pages import attempt_pages, event_list, integration_pages
from worker.domain.api_token import Role
from worker.history import merging
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase
from worker.ledger import Verdict

LANE = "7d3b5d0e-0c1f-4e4b-9f0a-2f6f1f6f9a11"
#: Lists, and how many records each has.
LISTS = {
    "/attempts": 3,
    "/attempts?show=failed": 1,
    "/events": 3,
    f"/integrations/{LANE}": 3,
    f"/integrations/{LANE}?tab=attempts": 3,
}


@pytest.fixture(scope="module")
def url(postgres_of_session: PostgresServer) -> str:
    """The history of these tests."""
    return postgres_of_session.url(postgres_of_session.new_database())


@pytest.fixture(scope="module")
def stage(url: str) -> Iterator[Stage]:
    """A console with a history of one delivered and one failed event; a third one waits to be archived."""
    with staged(EDW_HISTORY_URL=url, EDW_LEDGER_WINDOW="1h") as made:
        made.do(_played(made, url))
        yield made


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once PostgreSQL is back, it is asked at once."""
    monkeypatch.setattr("worker.history.database.REST_SECONDS", 0.0)


async def _played(stage: Stage, url: str) -> None:
    async with playing_on(stage.api.ledger, stage.redis_url) as scene:
        await scene.register(LANE, scope=STORE)
        await _settled(scene, "e-1", Verdict.SUCCEEDED)
        await _settled(scene, "e-2", Verdict.FAILED)
        archiver = Archiver(stage.api.ledger, HistoryDatabase(url), KEPT)
        await archive(archiver)
        await archiver.close()
        await _settled(scene, "e-3", Verdict.SUCCEEDED)


async def _settled(scene: LedgerScene, name: str, verdict: Verdict) -> None:
    event = an_event(name, STORE)
    await scene.ledger.inbox.accept([event])
    await scene.open(list((await scene.ledger.inbox.load([event.ref])).events), LANE)
    (claim,) = await scene.claim(LANE)
    await scene.settle(claim, verdict)


def test_the_days_of_an_integration_reach_back_as_far_as_the_history(
    stage: Stage, url: str, postgres_of_session: PostgresServer
) -> None:
    page = signed_in(stage, Role.READ, STORE).get(f"/integrations/{LANE}?tab=days")
    assert page.status_code == 200
    assert "3 attempts in 90 days, 66.6 % succeeded" in words(page.text)
    assert re.search(r"Success \d{4}-\d\d-\d\d 3 1 66\.6 %", words(page.text))
    assert 'aria-label="3 attempts in 90 days"' in page.text
    postgres_of_session.kill()
    try:
        away = words(signed_in(stage, Role.READ, STORE).get(f"/integrations/{LANE}?tab=days").text)
        assert "The history does not answer: only the last days are shown. 3 attempts in 2 days" in away
    finally:
        postgres_of_session.start()


def test_the_page_of_processes_shows_who_archives_and_how_late(stage: Stage) -> None:
    operator = signed_in(stage, Role.READ, None)
    assert stage.do(stage.api.ledger.outbox.lease())
    text = words(operator.get("/fleet").text)
    assert f"process {os.getpid()} Lag" in text.partition("Archived by")[2]
    assert "To archive 1 record" in text
    assert "HistoryFallingBehind" not in text

    stage.do(age_ended_jobs(stage.api.ledger, 300_000))
    assert "The oldest record has waited for 5 min" in words(operator.get("/fleet").text)

    stage.do(stage.api.ledger.outbox.leave())
    text = words(operator.get("/fleet").text)
    assert "Archived by no process" in text
    assert "Nothing is archived, and the ledger forgets nothing" in text


def test_a_console_without_a_history_shows_nothing_of_it() -> None:
    with staged(EDW_HISTORY_URL="") as made:
        made.do(_registered(made))
        assert "Archived by" not in signed_in(made, Role.READ, None).get("/fleet").text
        page = signed_in(made, Role.READ, STORE).get(f"/integrations/{LANE}?tab=days")
        assert "Days" not in words(page.text)
        assert "No event has matched it yet" in page.text


async def _registered(stage: Stage) -> None:
    async with playing_on(stage.api.ledger, stage.redis_url) as scene:
        await scene.register(LANE, scope=STORE)


@pytest.mark.parametrize("path", LISTS)
def test_links_lead_through_a_list_that_is_longer_than_offsets_reach(
    stage: Stage, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "DEEPEST", 2)
    for module, name in ((attempt_pages, "PAGE"), (event_list, "PAGE"), (integration_pages, "SHOWN")):
        monkeypatch.setattr(module, name, 1)
    visitor = signed_in(stage, Role.READ, STORE)
    found: set[str] = set()
    seen: list[str] = []
    link: str | None = path
    while link and link not in seen:
        seen.append(link)
        text = unescape(visitor.get(link).text)
        found |= set(re.findall(r'<tr><td[^>]*><a href="([^"?]*)', text))
        following = re.findall(r'href="/console([^"]*)" rel="next"', text)
        following += re.findall(r'href="/console([^"]*till=\d+[^"]*)">Older ones', text)
        link = following[0] if following else None
    assert len(found) == LISTS[path]
    first = words(visitor.get(path).text)
    assert ("1–1 of more than 2" in first) is (LISTS[path] > 2)


def test_a_list_says_when_the_history_does_not_answer(stage: Stage, postgres_of_session: PostgresServer) -> None:
    visitor = signed_in(stage, Role.READ, STORE)
    postgres_of_session.kill()
    try:
        for path in (*LISTS, "/events?type=order&id=1"):
            assert "The history does not answer: older" in words(visitor.get(path).text), path
    finally:
        postgres_of_session.start()
    assert "does not answer" not in words(visitor.get("/attempts").text)
