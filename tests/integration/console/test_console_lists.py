"""Lists of a store with more integrations than a page: filters, orders and searches hold for all of them."""

import re
from dataclasses import replace

import pytest

from tests.console.stage import STORE, Stage
from tests.console.visitor import Visitor, words
from tests.ledger.scene import settlement
from tests.samples import an_event, an_integration
from worker.domain.api_token import Role
from worker.domain.job import job_id
from worker.ledger import Verdict
from worker.ledger.lanes.claims import Opening

SCOPE = replace(STORE, store_id="store-with-many")


@pytest.fixture(scope="module")
def many(stage: Stage) -> Visitor:
    stage.do(plant(stage))
    made = Visitor(stage.url)
    made.sign_in(stage.new_token(Role.READ, SCOPE))
    return made


async def plant(stage: Stage) -> None:
    """60 integrations: the oldest one fails and has most jobs, the second one is disabled, the third is paused."""
    ledger = stage.api.ledger
    for number in range(60):
        name, url = f"Part {59 - number:02}", f"https://p-{number}.example/"
        made = an_integration(lane(number), scope=SCOPE, name=name, configuration={"url": url})
        await ledger.integrations.put(replace(made, enabled=number != 1, paused=number == 2))
    for number in range(3):
        event = an_event(f"many-{number}", SCOPE)
        await ledger.inbox.accept([event])
        (stored,) = (await ledger.inbox.load([event.ref])).events
        lanes = [lane(0), lane(30)][: 2 if number else 1]
        openings = [Opening(job_id(event.ref, each), each) for each in lanes]
        opened = await ledger.jobs.open([(stored, openings, True)], room=2)
        for claim in opened.claims:
            failed = claim.integration_id == lane(0)
            verdict = Verdict.RETRY if failed else Verdict.SUCCEEDED
            await ledger.jobs.settle([settlement(claim, verdict, delay=60, healthy=not failed, why="answered 500")])


def lane(number: int) -> str:
    return f"e0000000-0000-4000-8000-0000001{number:05}"


def names(many: Visitor, query: str) -> list[str]:
    """The names on a page of the list."""
    return re.findall(r">(Part \d\d)</a>", many.get(f"/integrations{query}").text)


@pytest.mark.parametrize(("state", "found"), [("failing", "Part 59"), ("disabled", "Part 58"), ("paused", "Part 57")])
def test_a_state_is_found_however_old_the_integration_is(many: Visitor, state: str, found: str) -> None:
    assert names(many, f"?state={state}") == [found]


def test_an_order_by_name_goes_on_from_page_to_page(many: Visitor) -> None:
    pages = [names(many, f"?sort=name&offset={offset}") for offset in (0, 25, 50)]
    assert [name for page in pages for name in page] == [f"Part {number:02}" for number in range(60)]
    assert "51–60 of 60" in words(many.get("/integrations?sort=name&offset=50").text)
    healthy = [names(many, f"?state=healthy&sort=name&offset={offset}") for offset in (0, 25, 50)]
    assert [len(page) for page in healthy] == [25, 25, 7]


def test_an_order_by_what_is_owed_or_by_success_finds_the_oldest_integration(many: Visitor) -> None:
    assert names(many, "?sort=owed")[0] == "Part 59"
    assert names(many, "?sort=oldest")[0] == "Part 59"
    assert names(many, "?sort=rate")[:2] == ["Part 59", "Part 29"]


def test_a_search_finds_the_host_of_any_of_them(many: Visitor) -> None:
    assert names(many, "?q=p-0.example") == ["Part 59"]
    assert "Part 59 https://p-0.example/" in words(many.get("/search?q=p-0.example").text)


def test_a_change_is_seen_at_once(stage: Stage, many: Visitor) -> None:
    (found,) = stage.do(stage.api.ledger.integrations.get([lane(40)]))
    assert names(many, "?q=renamed-host") == []
    stage.do(stage.api.ledger.integrations.put(replace(found, configuration={"url": "https://renamed-host.example/"})))
    assert names(many, "?q=renamed-host") == ["Part 19"]
