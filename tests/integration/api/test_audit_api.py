"""`GET /v2/audit`: who changed what, without secrets, for the admins of one store."""

from tests.api_client import Api, Client, webhook
from tests.samples import ELSEWHERE, SCOPE, order_paid
from worker.domain.api_token import Role, read
from worker.domain.event import event_ref

SECRET = "correct-horse-battery"
OTHER_SECRET = "another-horse-battery"


async def test_a_changed_integration_names_its_author_and_what_changed(api: Api, admin: Client) -> None:
    token = await api.token()
    author = api.client(token)
    made = await author.create(configuration={"url": "https://shop.example/hook", "secret_key": SECRET})
    path = f"/v2/integrations/{made['id']}"
    await author.put(path, {"data": {"name": "renamed", "description": ""}})
    await author.put(path, {"data": {"configuration": {"url": "https://shop.example/x", "secret_key": OTHER_SECRET}}})
    await author.delete(path)

    answer = await admin.get("/v2/audit")

    deleted, moved, renamed, created = answer.data
    parts = read(token)
    assert parts is not None
    for change, action in ((deleted, "deleted"), (moved, "updated"), (renamed, "updated"), (created, "created")):
        assert (change["type"], change["action"]) == ("change", f"integration.{action}")
        assert change["author"]["token_id"] == parts[0]
        assert change["subject"] == {"type": "integration", "id": made["id"]}
        assert change["meta"]["timestamps"]["created_at"]
    assert (renamed["before"], renamed["after"]) == ({"name": made["name"]}, {"name": "renamed"})
    assert moved["before"]["configuration"]["url"] == "https://shop.example/hook"
    assert moved["after"]["configuration"]["url"] == "https://shop.example/x"
    assert moved["after"]["new_secrets"] == ["secret_key"], "their masks end alike"
    assert (created["before"], deleted["after"]) == ({}, {})
    assert created["after"]["name"] == made["name"]
    assert deleted["before"]["name"] == "renamed"
    assert SECRET not in answer.raw.decode()
    assert OTHER_SECRET not in answer.raw.decode()


async def test_refused_changes_and_those_of_others_are_not_in_it(api: Api, admin: Client) -> None:
    await (await api.someone(scope=ELSEWHERE)).create()
    made = await admin.create()
    assert (await admin.post("/v2/integrations", {"data": webhook(observes=["no.such"])})).status == 422
    assert (await admin.put(f"/v2/integrations/{made['id']}", {"data": {"name": ""}})).status == 422

    (change,) = (await admin.get("/v2/audit")).data

    assert (change["action"], change["subject"]["id"]) == ("integration.created", made["id"])


async def test_only_an_admin_reads_it(api: Api) -> None:
    for role in (Role.READ, Role.PUBLISH):
        assert (await (await api.someone(role)).get("/v2/audit")).status == 403


async def test_a_redelivery_is_recorded_once_for_all_its_jobs(api: Api, admin: Client) -> None:
    made = await admin.create(enabled=False)
    await admin.post("/v2/events", {"data": [order_paid(id=f"e-{n}") for n in range(3)]})
    loaded = await api.ledger.inbox.load([event_ref(SCOPE, f"e-{n}") for n in range(3)])
    await api.ledger.jobs.open([(stored, [], True) for stored in loaded.events], 0)
    await admin.put(f"/v2/integrations/{made['id']}", {"data": {"enabled": True}})
    body = {"data": {"state": "failed", "missing": True, "partial": True}}
    path = f"/v2/integrations/{made['id']}/redeliver"

    dry = await admin.post(path, {"data": {**body["data"], "dry_run": True}})
    done = await admin.post(path, body)

    assert (dry.data["opened"], done.data["opened"]) == (3, 3)
    newest, *others = (await admin.get("/v2/audit")).data
    assert (newest["action"], newest["subject"]["id"]) == ("integration.redelivered", made["id"])
    assert (newest["after"]["states"], newest["after"]["missing"]) == (["failed"], True)
    assert "integration.redelivered" not in {each["action"] for each in others}


async def test_a_filter_of_changes_finds_exactly_what_fulfils_it(api: Api, admin: Client) -> None:
    first, second = await admin.create(), await admin.create()
    for name in ("renamed", "again"):
        await admin.put(f"/v2/integrations/{first['id']}", {"data": {"name": name}})
    everything = (await admin.get("/v2/audit")).data
    assert [each["action"].rpartition(".")[2] for each in everything] == ["updated", "updated", "created", "created"]
    updated, created = [each["id"] for each in everything[:2]], [each["id"] for each in everything[2:]]
    newest = everything[0]["meta"]["timestamps"]["created_at"]

    async def found(condition: str) -> list[str]:
        answer = await admin.get("/v2/audit", filtered=condition)
        assert answer.document["meta"]["filter"]["cut"] is False
        return [each["id"] for each in answer.data]

    assert await found("eq(action,integration.updated)") == updated
    assert await found(f"eq(subject_id,{second['id']})") == created[:1]
    assert await found("eq(subject_type,token)") == []
    assert await found(f"eq(token_id,{everything[0]['author']['token_id']})") == updated + created
    assert await found(f"lt(created_at,{newest})") == updated[1:] + created
    assert await found(f"eq(created_at,{newest}):eq(action,integration.updated)") == updated[:1]
    refused = await admin.get("/v2/audit", filtered="eq(actor,me)")
    assert refused.status == 400
    page = await admin.get("/v2/audit", limit=2, offset=1)
    assert [each["id"] for each in page.data] == [*updated[1:], *created[:1]]
    assert page.document["results"] == {"total": 4}
