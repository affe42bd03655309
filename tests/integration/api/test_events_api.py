"""What became of an event: the answer to "did the ERP get order 123?"."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.api_client import Api, Client
from tests.fleet.processes import StartWorker
from tests.fleet.webhook_receiver import Receiver
from tests.ledger import surgery
from tests.ledger.scene import HOUR, LedgerScene
from tests.samples import ELSEWHERE, SCOPE
from tests.waiting import eventually
from worker.domain.event import rfc3339
from worker.domain.event_parser import ID_MAX_CHARS
from worker.ledger import Verdict

EVENTS = "/v2/events"


async def publish(client: Client, event_id: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(EVENTS, {"data": {"id": event_id, "type": "order.paid", "data": {"id": "o-1"}, **more}})
    assert answer.status == 202, answer.raw
    published: dict[str, Any] = answer.data
    return published


async def history(client: Client, event_id: str, **page: Any) -> dict[str, Any]:
    answer = await client.get(f"{EVENTS}/{quote(event_id, safe='')}", **page)
    assert answer.status == 200, answer.raw
    found: dict[str, Any] = answer.data
    return found


async def test_an_event_that_nobody_has_looked_at_yet_is_waiting(admin: Client, reader: Client) -> None:
    await publish(admin, "e-1", time="2026-11-24T08:00:00+01:00", source="https://shop.example")
    found = await history(reader, "e-1")
    accepted = found.pop("meta")["timestamps"]["created_at"]
    assert found.pop("sequence") // 1000 == round(datetime.fromisoformat(accepted).timestamp() * 1000)
    assert found == {
        "id": "e-1",
        "type": "event",
        "triggered_by": "order.paid",
        "state": "waiting",
        "jobs": [],
        "resource": {"type": "order", "id": "o-1"},
        "time": "2026-11-24T08:00:00+01:00",
        "source": "https://shop.example",
        "store_id": SCOPE.store_id,
        "org_id": SCOPE.org_id,
    }
    assert accepted.endswith("Z")


async def test_an_event_without_a_time_of_its_own_happened_when_it_was_accepted(admin: Client) -> None:
    await publish(admin, "e-1")
    found = await history(admin, "e-1")
    assert found["time"] == found["meta"]["timestamps"]["created_at"]
    assert "source" not in found


async def test_an_event_that_matched_nobody_is_observed_and_has_no_jobs(admin: Client, scene: LedgerScene) -> None:
    await scene.open(await scene.publish("e-1"))
    found = await history(admin, "e-1")
    assert (found["state"], found["jobs"]) == ("observed", [])


async def test_each_job_says_whose_it_is_what_became_of_it_and_how_its_last_attempt_went(
    admin: Client, reader: Client, scene: LedgerScene
) -> None:
    names = ("delivered", "failed", "waits", "due", "flies", "flies again")
    lanes = {name: (await admin.create(name=name))["id"] for name in names}
    stored = await scene.publish("e-1")
    await scene.open(stored, *lanes.values())
    for name, verdicts in {
        "delivered": [Verdict.RETRY, Verdict.SUCCEEDED],
        "failed": [Verdict.FAILED],
        "waits": [Verdict.RETRY],
        "flies again": [Verdict.RETRY],
    }.items():
        for verdict in verdicts:
            (claim,) = await scene.claim(lanes[name])
            await scene.settle(claim, verdict, detail=f"{name}: {verdict.value}", delay=HOUR if name == "waits" else 0)
    await scene.claim(lanes["flies"], lanes["flies again"])

    found = await history(reader, "e-1")

    assert found["state"] == "observed"
    jobs = {job["integration_name"]: job for job in found["jobs"]}
    assert set(jobs) == set(names)
    for name, job in jobs.items():
        assert job["relationships"]["integration"]["data"] == {"id": lanes[name], "type": "integration"}
        assert (job["type"], job["event_id"], job["triggered_by"]) == ("integration-job", "e-1", "order.paid")
    states = {name: (job["state"], job["attempts"]) for name, job in jobs.items()}
    assert states == {
        "delivered": ("succeeded", 2),
        "failed": ("failed", 1),
        "waits": ("pending", 1),
        "due": ("pending", 0),
        "flies": ("pending", 1),
        "flies again": ("pending", 2),
    }
    last = {name: job.get("last_log") for name, job in jobs.items()}
    assert last["due"] is None
    # The attempt under way has none; the one before it says most.
    assert last["flies"] is None
    assert (last["flies again"]["attempt"], last["flies again"]["error_detail"]) == (1, "flies again: retry")
    assert (last["delivered"]["attempt"], last["delivered"]["succeeded"]) == (2, True)
    assert (last["failed"]["succeeded"], last["failed"]["error_detail"]) == (False, "failed: failed")
    assert jobs["failed"]["reason"] == "exhausted"
    assert last["waits"]["relationships"]["job"]["data"]["id"] == jobs["waits"]["id"]
    own = f"/v2/integrations/{lanes['delivered']}/jobs/{jobs['delivered']['id']}/logs"
    assert last["delivered"] == (await reader.get(own)).data[0]


async def test_a_job_of_a_deleted_integration_has_no_name_and_a_log_that_was_dropped_is_not_there(
    admin: Client, scene: LedgerScene
) -> None:
    lane = (await admin.create())["id"]
    (job,) = await scene.owe(lane, "e-1")
    (claim,) = await scene.claim(lane)
    await scene.settle(claim, Verdict.SUCCEEDED)
    await admin.delete(f"/v2/integrations/{lane}")
    (found,) = (await history(admin, "e-1"))["jobs"]
    assert "integration_name" not in found
    assert found["last_log"]["succeeded"] is True
    async with surgery.without_log(scene.ledger, job, 1):
        (found,) = (await history(admin, "e-1"))["jobs"]
    assert "last_log" not in found


async def test_an_event_is_shown_page_by_page(admin: Client, scene: LedgerScene) -> None:
    lanes = [(await admin.create(name=f"n-{n}"))["id"] for n in range(7)]
    await scene.open(await scene.publish("e/1"), *lanes)
    pages = [await admin.get(f"{EVENTS}/e%2F1", limit=3)]
    while following := pages[-1].document["links"].get("next"):
        assert following.startswith(f"{EVENTS}/e%2F1?")
        pages.append(await admin.get(following))
    assert [len(page.data["jobs"]) for page in pages] == [3, 3, 1]
    assert {job["integration_name"] for page in pages for job in page.data["jobs"]} == {f"n-{n}" for n in range(7)}
    assert {page.document["results"]["total"] for page in pages} == {7}
    assert pages[1].document["meta"]["page"] == {"limit": 3, "offset": 3, "current": 2, "total": 3}
    assert set(pages[1].document["links"]) == {"first", "last", "next", "prev"}


@pytest.mark.parametrize(
    "event_id",
    [
        "order/123",
        "order 123",
        "Bestellung-Ä",
        "注文",
        "🧾",
        "a%2Fb",
        "a%20b",
        "100%",
        "a{b}c",
        "a?b#c&d=e",
        "a+b",
        'a"b\\c',
        "a;b:c@d",
        "..x",
        "e'; DROP TABLE events--",
        "x" * ID_MAX_CHARS,
        "Ä" * ID_MAX_CHARS,
    ],
)
async def test_whatever_an_event_is_called_it_is_found_by_its_link_and_its_quoted_id(
    admin: Client, event_id: str
) -> None:
    published = await publish(admin, event_id)
    assert published["id"] == event_id
    assert (await history(admin, event_id))["id"] == event_id
    linked = await admin.get(published["links"]["self"])
    assert (linked.status, linked.data["id"]) == (200, event_id)


@pytest.mark.parametrize(
    "written", ["e-2", "E-1", "e-1%20", "x" * (ID_MAX_CHARS + 1), "%FF", "%00", "e-1/", "%F0%28%8C%28"]
)
async def test_what_there_is_not_is_not_found(admin: Client, written: str) -> None:
    await publish(admin, "e-1")
    answer = await admin.get(f"{EVENTS}/{written}")
    assert answer.status == 404, answer.raw
    assert answer.errors[0]["status"] == 404


async def test_what_could_not_be_observed_is_not_called_observed(admin: Client, scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    while not await scene.set_aside(stored):
        assert (await history(admin, "e-1"))["state"] == "waiting"
    found = await history(admin, "e-1")
    assert (found["state"], found["jobs"]) == ("set_aside", [])


async def test_what_retention_has_dropped_is_not_found(admin: Client, scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    await scene.open([stored])
    assert (await admin.get(f"{EVENTS}/e-1")).status == 200
    await surgery.forget_event(scene.ledger, stored.ref)
    answer = await admin.get(f"{EVENTS}/e-1")
    assert answer.status == 404
    assert "no longer kept" in answer.errors[0]["detail"]


async def test_another_stores_event_of_the_same_id_is_another_event(api: Api, admin: Client) -> None:
    stranger = await api.someone(scope=ELSEWHERE)
    await publish(stranger, "e-1")
    assert (await admin.get(f"{EVENTS}/e-1")).status == 404
    await publish(admin, "e-1")
    assert (await history(admin, "e-1"))["store_id"] == SCOPE.store_id
    assert (await history(stranger, "e-1"))["store_id"] == ELSEWHERE.store_id


async def test_the_time_of_acceptance_is_the_ledgers(admin: Client, scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    created_at = (await history(admin, "e-1"))["meta"]["timestamps"]["created_at"]
    assert created_at == rfc3339(stored.accepted_at)


async def test_did_the_erp_get_order_123(
    admin: Client, reader: Client, receiver: Receiver, start_worker: StartWorker
) -> None:
    """From the producer to the answer, through a real worker."""
    await admin.create(name="ERP", configuration={"url": receiver.url})
    await admin.create(name="CRM", observes=["order.created"], configuration={"url": receiver.url})
    receiver.answers = [503]
    await start_worker().ready()
    await publish(admin, "order 123")

    async def delivered() -> dict[str, Any] | None:
        found = await history(reader, "order 123")
        over = found["state"] == "observed" and all(job["state"] != "pending" for job in found["jobs"])
        return found if over else None

    found: dict[str, Any] = await eventually(delivered, "the job is over")
    (job,) = found["jobs"]
    assert (job["integration_name"], job["state"], job["attempts"]) == ("ERP", "succeeded", 2)
    assert (job["last_log"]["status_code"], job["last_log"]["body"]) == (200, "ok")
