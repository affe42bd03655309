"""`filter`: an attribute that is validated, that can be tried, and that explains why an event was not sent."""

from typing import Any

import pytest

from tests.api_client import Client
from tests.ledger.scene import LedgerScene, dispatch_of
from tests.samples import ELSEWHERE, SCOPE, order_paid
from worker.domain.api_token import Role
from worker.domain.event import event_ref
from worker.domain.format_version import FILTER_SINCE
from worker.ledger.membership import Membership

LARGE = {"data": {"total": {"$gte": 100}, "status": {"$in": ["complete", "paid"]}}}

ATTRIBUTES = {"name": "n", "observes": ["order.paid"], "configuration": {"url": "https://shop.example/hook"}}


def the_order(total: float, **changes: Any) -> dict[str, Any]:
    order = {"type": "order", "id": "123", "total": total, "status": "paid"}
    return {"data": order_paid(data=order, **changes)}


async def test_a_filter_is_kept_shown_replaced_and_removed(admin: Client, reader: Client) -> None:
    made = await admin.create(filter=LARGE)
    path = f"/v2/integrations/{made['id']}"
    assert made["filter"] == LARGE
    assert (await reader.get(path)).data["filter"] == LARGE
    # An update that does not name it leaves it.
    assert (await admin.put(path, {"data": {"name": "renamed"}})).data["filter"] == LARGE
    other = {"type": {"$startsWith": "order."}}
    assert (await admin.put(path, {"data": {"filter": other}})).data["filter"] == other
    assert "filter" not in (await admin.put(path, {"data": {"filter": None}})).data
    changes = [each for each in (await admin.get("/v2/audit")).data if "filter" in each["before"] | each["after"]]
    assert [(each["before"].get("filter"), each["after"].get("filter")) for each in changes] == [
        *[(other, None), (LARGE, other), (None, LARGE)],
    ]


async def test_a_filter_that_is_wrong_is_refused_with_its_place(admin: Client) -> None:
    wrong = {"data": {"total": {"$gte": True}, "status": {"$within": []}}, "total": 1}
    answer = await admin.post("/v2/integrations", {"data": ATTRIBUTES | {"filter": wrong}})
    assert answer.status == 422
    assert {each["source"]["pointer"] for each in answer.errors} == {
        *("/data/filter/data/total/$gte", "/data/filter/data/status/$within", "/data/filter/total"),
    }


async def test_a_filter_that_an_older_process_would_ignore_is_refused_for_now(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await admin.create()
    monkeypatch.setattr(Membership, "minor", FILTER_SINCE - 1)
    body = {"data": {"filter": LARGE}}
    created = await admin.post("/v2/integrations", {"data": ATTRIBUTES | body["data"]})
    updated = await admin.put(f"/v2/integrations/{made['id']}", body)
    for answer in (created, updated):
        assert (answer.status, answer.errors[0]["source"]["pointer"]) == (422, "/data/filter")
        assert "Finish the upgrade" in answer.errors[0]["detail"]
    assert "filter" not in (await admin.get(f"/v2/integrations/{made['id']}")).data


async def test_a_filter_is_tried_with_a_sample_and_with_a_stored_event(admin: Client, scene: LedgerScene) -> None:
    made = await admin.create(filter=LARGE)
    path = f"/v2/integrations/{made['id']}/filter/try"
    assert (await admin.post("/v2/events", the_order(99.5, id="small"))).status == 202

    small = (await admin.post(path, {"data": {"event_id": "small"}})).data
    large = (await admin.post(path, {"data": {"data": {"total": 100, "status": "paid"}}})).data
    other = (await admin.post(path, {"data": {"event_id": "small", "filter": {"data": {"id": "123"}}}})).data
    none = (await admin.post(path, {"data": {"filter": None, "type": "order.created"}})).data

    condition = {"pointer": "/data/total/$gte", "expected": "at least 100", "found": "99.5"}
    assert small == {"type": "filter-trial", "matches": False, "observed": True, "condition": condition}
    assert large == {"type": "filter-trial", "matches": True, "observed": True}
    assert other["matches"]
    assert none == {"type": "filter-trial", "matches": True, "observed": False}
    assert await scene.jobs_of(event_ref(SCOPE, "small")) == []


async def test_what_cannot_be_tried_is_refused(admin: Client, reader: Client, scene: LedgerScene) -> None:
    made = await admin.create()
    path = f"/v2/integrations/{made['id']}/filter/try"
    await admin.post("/v2/events", the_order(1, id="erased"))
    await admin.delete("/v2/events/erased")
    for body, pointer in (
        ({"event_id": "no such"}, "/data/event_id"),
        ({"event_id": "erased"}, "/data/event_id"),
        ({"event_id": 1}, "/data/event_id"),
        ({"event_id": "erased", "type": "order.paid"}, "/data/type"),
        ({"filter": {"data": {"$x": 1}}}, "/data/filter/data/$x"),
        ({"type": "no.such"}, "/data/type"),
        ({"sample": {}}, "/data/sample"),
    ):
        answer = await admin.post(path, {"data": body})
        assert (answer.status, answer.errors[0]["source"]["pointer"]) == (422, pointer), answer.raw
    assert (await reader.post(path, {"data": {}})).status == 403
    assert await scene.ledger.integrations.get([made["id"]])


async def test_nobody_tries_a_filter_with_the_event_of_another_store(admin: Client, api: Any) -> None:
    await admin.post("/v2/events", the_order(1, id="ours"))
    stranger: Client = await api.someone(Role.ADMIN, ELSEWHERE)
    theirs = await stranger.create()
    answer = await stranger.post(f"/v2/integrations/{theirs['id']}/filter/try", {"data": {"event_id": "ours"}})
    assert (answer.status, answer.errors[0]["source"]["pointer"]) == (422, "/data/event_id")


async def test_the_search_for_an_order_says_which_condition_left_it_out(
    admin: Client, reader: Client, scene: LedgerScene
) -> None:
    await admin.create(name="Large orders", filter=LARGE)
    changed = await admin.create(name="Changed", filter=LARGE)
    await admin.post("/v2/events", the_order(50, id="e-1"))
    await dispatch_of(scene.ledger).observe([event_ref(SCOPE, "e-1")])
    await admin.put(f"/v2/integrations/{changed['id']}", {"data": {"filter": {"data": {"status": "paid"}}}})
    find = "/v2/events?filter=eq(resource_type,order):eq(resource_id,123)"

    (event,) = (await reader.get(find)).data
    reasons = {each["integration_name"]: (each["reason"], each["detail"]) for each in event["not_delivered_to"]}
    words = "its filter does not match: /data/total/$gte expects at least 100; the event has 50"
    assert event["jobs"] == []
    assert reasons["Large orders"] == ("filtered", words)
    assert reasons["Changed"][0] == "changed_later"
    assert "its filter matches now" in reasons["Changed"][1]
