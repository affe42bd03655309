"""`GET /v2/events`: "did the ERP get order 123?", from nothing but the order's number."""

from typing import Any

from tests.api_client import Client
from tests.ledger.scene import LedgerScene
from tests.samples import SCOPE, order_paid
from worker.domain.event import event_ref
from worker.ledger import Verdict

ORDER = "eq(resource_type,order):eq(resource_id,123)"


def the_order(**changes: Any) -> dict[str, Any]:
    return {"data": order_paid(data={"type": "order", "id": "123"}, **changes)}


async def test_an_order_that_reached_one_of_three_integrations_is_explained_by_one_request(
    admin: Client, reader: Client, scene: LedgerScene
) -> None:
    names = {(await admin.create(name=name))["id"]: name for name in ("ERP", "CRM")}
    await admin.create(name="Mail", observes=["customer.created"])
    disabled = await admin.create(name="Search")
    await admin.put(f"/v2/integrations/{disabled['id']}", {"data": {"enabled": False}})
    await admin.post("/v2/events", the_order(id="e-1"))
    await admin.post("/v2/events", {"data": order_paid(id="e-2", data={"type": "order", "id": "124"})})
    (stored,) = (await scene.ledger.inbox.load([event_ref(SCOPE, "e-1")])).events
    await scene.open([stored], *names)
    for claim in await scene.claim(*names):
        delivered = names[claim.integration_id] == "ERP"
        verdict = Verdict.SUCCEEDED if delivered else Verdict.RETRY
        await scene.settle(claim, verdict, detail="" if delivered else "answered 503", delay=60)
    await admin.create(name="Late")

    answer = await reader.get(f"/v2/events?filter={ORDER}")

    assert answer.status == 200, answer.raw
    (event,) = answer.data
    assert (event["id"], event["triggered_by"], event["state"]) == ("e-1", "order.paid", "observed")
    assert event["resource"] == {"type": "order", "id": "123"}
    assert event["sequence"] == stored.sequence
    jobs = {job["integration_name"]: job for job in event["jobs"]}
    assert jobs["ERP"]["state"] == "succeeded"
    assert (jobs["CRM"]["state"], jobs["CRM"]["last_log"]["error_detail"]) == ("pending", "answered 503")
    assert jobs["CRM"]["next_attempt_at"]
    missing = {each["integration_name"]: each["reason"] for each in event["not_delivered_to"]}
    assert missing == {"Mail": "not_observed", "Search": "disabled", "Late": "created_later"}
    assert (await reader.get(event["links"]["self"].partition("/v2")[2].join(("/v2", "")))).data["id"] == "e-1"


async def test_a_stores_events_are_listed_by_type_and_time_too(admin: Client, reader: Client) -> None:
    await admin.post("/v2/events", {"data": [order_paid(id=f"e-{n}") for n in range(3)]})
    await admin.post("/v2/events", the_order(id="created", type="order.created"))

    everything = await reader.get("/v2/events")
    created = await reader.get("/v2/events?filter=eq(type,order.created)")
    since = everything.data[0]["meta"]["timestamps"]["created_at"]

    assert everything.data[0]["id"] == "created"
    assert (len(everything.data), everything.document["results"]["total"]) == (4, 4)
    assert "jobs" not in everything.data[0]
    assert [event["id"] for event in created.data] == ["created"]
    assert created.document["meta"]["filter"] == {"scanned": 4, "cut": False}
    assert "created" in {event["id"] for event in (await reader.get(f"/v2/events?filter=ge(created_at,{since})")).data}
    assert (await reader.get(f"/v2/events?filter=lt(created_at,2020-01-01T00:00:00Z):{ORDER}")).data == []
    second = await reader.get("/v2/events", limit=1, offset=1)
    assert [event["id"] for event in second.data] == [everything.data[1]["id"]]


async def test_half_a_resource_is_refused(reader: Client) -> None:
    for half in ("eq(resource_id,123)", "eq(resource_type,order)", f"{ORDER}:eq(resource_id,124)"):
        answer = await reader.get(f"/v2/events?filter={half}")
        assert (answer.status, "eq(resource_type,order):eq(resource_id,123)" in answer.errors[0]["detail"]) == (
            400,
            True,
        )
