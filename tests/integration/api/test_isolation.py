"""Nobody sees another's: every operation that needs a token, asked by everybody whom it is none of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api_client import Answer, Api, Client, webhook
from tests.ledger.audit import LedgerContents
from tests.ledger.scene import LedgerScene
from tests.samples import ELSEWHERE, SCOPE
from worker.api.operations import Operation
from worker.api.routes import OPERATIONS
from worker.domain.api_token import Role
from worker.domain.event import Scope
from worker.ledger import Verdict

#: What identifies the victim's belongings wherever they might show up.
MARK = "of-the-victim"

#: Everybody whom SCOPE's belongings are none of.
STRANGERS = {
    "another store": ELSEWHERE,
    "the same store in another organisation": Scope("org-2", SCOPE.store_id),
    "the organisation itself": Scope(SCOPE.org_id),
    "the store without its organisation": Scope(None, SCOPE.store_id),
    "the one store of a deployment that names none": Scope(),
    "a store whose name looks like ours": Scope("org-1/store-1"),
}


@dataclass(frozen=True, slots=True)
class Victim:
    """Whose everything is to be kept from others."""

    integration: str
    job: str
    event: str


@dataclass(frozen=True, slots=True)
class Visit:
    """How an operation is called with the victim's ids, and what a stranger must get."""

    expected: Callable[[Answer], None]
    body: Any = None


def not_found(answer: Answer) -> None:
    """As if there were none: neither the status nor the words reveal that there is one."""
    assert answer.status == 404, answer.raw
    assert answer.errors[0]["detail"].startswith("there is no ")


def empty(answer: Answer) -> None:
    """A list without anything of anybody else's."""
    assert answer.status == 200, answer.raw
    assert (answer.data, answer.document["results"]["total"]) == ([], 0)


def forbidden(answer: Answer) -> None:
    assert answer.status == 403, answer.raw


def own(answer: Answer) -> None:
    """What was made is the caller's own."""
    assert answer.status == 201, answer.raw
    assert (answer.data.get("org_id"), answer.data.get("store_id")) != (SCOPE.org_id, SCOPE.store_id)


def own_events(answer: Answer) -> None:
    """Nothing but the event of what the stranger has just made."""
    assert answer.status == 200, answer.raw
    assert {event["triggered_by"] for event in answer.data} == {"integration.created"}
    assert MARK not in answer.raw.decode()


def own_changes(answer: Answer) -> None:
    """Nothing but what the stranger has just made."""
    assert answer.status == 200, answer.raw
    assert [change["action"] for change in answer.data] == ["integration.created"]
    assert MARK not in answer.raw.decode()


def nobodys(answer: Answer) -> None:
    """The same for all."""
    assert answer.status == 200


#: A foreign event names whose it is; one that does not becomes the caller's own.
FOREIGN_EVENT: dict[str, Any] = {"type": "order.paid", "data": {}, "store_id": SCOPE.store_id, "org_id": SCOPE.org_id}
VISITS = {
    "listIntegrations": Visit(empty),
    # Our own answers may be sent back, and what they say of whose they are moves nothing.
    "createIntegration": Visit(own, {"data": webhook(observes=["integration.updated"], store_id=SCOPE.store_id)}),
    "getIntegration": Visit(not_found),
    "updateIntegration": Visit(not_found, {"data": {"name": "taken over"}}),
    "deleteIntegration": Visit(not_found),
    "testIntegration": Visit(not_found),
    "tryFilter": Visit(not_found),
    "redeliverIntegration": Visit(not_found, {"data": {"state": "succeeded", "missing": True}}),
    "listSigningKeys": Visit(not_found),
    "rotateSigningKeys": Visit(not_found),
    "deleteSigningKeys": Visit(not_found),
    "listLogs": Visit(empty),
    "listIntegrationLogs": Visit(not_found),
    "listJobs": Visit(not_found),
    "getJob": Visit(not_found),
    "listJobLogs": Visit(not_found),
    "redeliverJob": Visit(not_found),
    "publishEvents": Visit(forbidden, {"data": FOREIGN_EVENT}),
    "eraseEvent": Visit(not_found),
    "listEvents": Visit(own_events),
    "getEvent": Visit(not_found),
    "listChanges": Visit(own_changes),
    # It opens the console of the caller's own store.
    "createConsoleLink": Visit(own),
    "describe": Visit(nobodys),
    "listAttributes": Visit(nobodys),
    "readDescription": Visit(nobodys),
}

#: What reads these says nothing that the victim has written.
UNMARKED = ("describe", "readDescription", "listAttributes", "listJobs", "getJob", "listSigningKeys")
GUARDED = [operation for operation in OPERATIONS if operation.roles is not None]


def test_the_walk_knows_every_operation_that_needs_a_token() -> None:
    assert {operation.name for operation in GUARDED} == set(VISITS)


def test_what_needs_no_token_reveals_nothing_of_anybody() -> None:
    """Add new ones here."""
    assert {each.name for each in OPERATIONS if each.roles is None} == {"logIn", "healthz", "readyz"}


@pytest.fixture
async def victim(admin: Client, scene: LedgerScene) -> Victim:
    """An integration of SCOPE with a job that was tried twice and succeeded, the event, and both logs."""
    created = await admin.create(
        name=MARK, configuration={"url": f"https://{MARK}.example", "secret_key": f"secret {MARK}"}
    )
    (job,) = await scene.owe(created["id"], MARK)
    for verdict in (Verdict.RETRY, Verdict.SUCCEEDED):
        (claim,) = await scene.claim(created["id"])
        await scene.settle(claim, verdict, detail=MARK)
    return Victim(created["id"], job, MARK)


async def visit(client: Client, operation: Operation, victim: Victim) -> Answer:
    path = operation.path.format(integration_id=victim.integration, job_id=victim.job, event_id=victim.event)
    return await client.ask(operation.method, path, VISITS[operation.name].body)


async def belongings(api: Api) -> Any:
    """Everything that the ledger has of the victim, in one value."""
    return (await LedgerContents.read(api.ledger)).of_scope(SCOPE)


async def test_the_walk_reaches_everything_where_the_caller_is_the_right_one(
    api: Api, victim: Victim, admin: Client
) -> None:
    """Or else the refusals below would prove nothing."""
    found = [operation for operation in GUARDED if operation.method == "GET"]
    for operation in found:
        answer = await visit(admin, operation, victim)
        assert answer.status == 200, (operation.name, answer.raw)
        if operation.name not in UNMARKED:
            assert MARK.encode() in answer.raw, operation.name
    for name, status in (("redeliverJob", 202), ("redeliverIntegration", 202), ("testIntegration", 200)):
        (operation,) = [each for each in GUARDED if each.name == name]
        assert (await visit(admin, operation, victim)).status == status
    for name, status in (("publishEvents", 202), ("updateIntegration", 200), ("deleteIntegration", 204)):
        (operation,) = [each for each in GUARDED if each.name == name]
        assert (await visit(admin, operation, victim)).status == status


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_stranger_gets_nothing_anywhere_and_moves_nothing(api: Api, victim: Victim, stranger: str) -> None:
    before = await belongings(api)
    for operation in GUARDED:
        for role in sorted(operation.roles or ()):
            client = await api.someone(role, STRANGERS[stranger])
            answer = await visit(client, operation, victim)
            VISITS[operation.name].expected(answer)
            assert MARK.encode() not in answer.raw.replace(f"/{MARK}".encode(), b""), operation.name
    hashes, scores, lists, strings, inbox = await belongings(api)
    # Strangers may have made records of their own meanwhile.
    assert {name: row for name, row in hashes.items() if name in before[0]} == before[0]
    assert (scores, lists) == before[1:3]
    assert before[3].items() <= strings.items()
    assert before[4].items() <= inbox.items()


@pytest.mark.parametrize("role", Role)
async def test_a_role_that_may_not_is_refused_before_anything_is_looked_up(
    api: Api, victim: Victim, role: Role
) -> None:
    client = await api.someone(role)
    before = await belongings(api)
    for operation in GUARDED:
        if role in (operation.roles or ()):
            continue
        answer = await visit(client, operation, victim)
        assert answer.status == 403, (operation.name, answer.raw)
        assert f'"{role}"' in answer.errors[0]["detail"]
        # A missing resource gets the same answer.
        assert (await visit(client, operation, Victim(victim.job, victim.job, "none"))).raw == answer.raw
    assert await belongings(api) == before


@pytest.mark.parametrize("role", Role)
async def test_a_token_of_the_platform_publishes_and_sees_nobodys_belongings(
    api: Api, victim: Victim, role: Role
) -> None:
    client = await api.someone(role, platform=True)
    before = await belongings(api)
    for operation in GUARDED:
        if operation.platform:
            continue
        answer = await visit(client, operation, victim)
        assert answer.status == 403, (operation.name, answer.raw)
    assert await belongings(api) == before


async def test_without_a_token_nothing_is_answered_and_the_way_in_is_named(api: Api, victim: Victim) -> None:
    before = await belongings(api)
    for operation in GUARDED:
        answer = await visit(api.client(), operation, victim)
        assert answer.status == 401, (operation.name, answer.raw)
        assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert await belongings(api) == before


async def test_ones_own_integration_gives_no_access_to_anothers_jobs(api: Api, victim: Victim, admin: Client) -> None:
    """A job is asked for below an integration: it must be a job of that one, even if both have the same owner."""
    stranger = await api.someone(scope=ELSEWHERE)
    foreign, sibling = await stranger.create(), await admin.create()
    for client, integration in ((stranger, foreign), (admin, sibling)):
        path = f"/v2/integrations/{integration['id']}/jobs"
        for answer in (
            await client.get(f"{path}/{victim.job}"),
            await client.get(f"{path}/{victim.job}/logs"),
            await client.post(f"{path}/{victim.job}/redeliver"),
        ):
            not_found(answer)
        empty(await client.get(path))
        empty(await client.get(f"/v2/integrations/{integration['id']}/logs"))


async def test_the_same_event_id_in_two_stores_is_two_events(api: Api, victim: Victim, admin: Client) -> None:
    stranger = await api.someone(scope=ELSEWHERE)
    published = await stranger.post(
        "/v2/events", {"data": {"id": victim.event, "type": "order.paid", "data": {"n": 2}}}
    )
    assert (published.status, published.data["duplicate"]) == (202, False)
    theirs = (await stranger.get(f"/v2/events/{victim.event}")).data
    mine = (await admin.get(f"/v2/events/{victim.event}")).data
    assert (theirs["store_id"], theirs["state"], theirs["jobs"]) == (ELSEWHERE.store_id, "waiting", [])
    assert (mine["store_id"], len(mine["jobs"])) == (SCOPE.store_id, 1)


async def test_a_redelivery_of_what_was_missed_takes_no_other_stores_events(api: Api, scene: LedgerScene) -> None:
    await scene.open(await scene.publish("e-1", "e-2"))
    stranger = await api.someone(scope=ELSEWHERE)
    created = await stranger.create()
    answer = await stranger.post(f"/v2/integrations/{created['id']}/redeliver", {"data": {"missing": True}})
    assert answer.status == 202
    assert answer.data["opened"] == 0


async def test_filters_find_nothing_of_anybody_elses(api: Api, victim: Victim) -> None:
    stranger = await api.someone(Role.READ, ELSEWHERE)
    for condition in (f"eq(job_id,{victim.job})", f"eq(integration_id,{victim.integration})", "eq(succeeded,false)"):
        empty(await stranger.get("/v2/integrations/logs", filtered=condition))


@pytest.mark.parametrize(("method", "path"), [("GET", "/v2/nothing"), ("PATCH", "/v2/integrations"), ("GET", "/v3")])
async def test_a_stranger_learns_nothing_of_paths_and_methods_either(api: Api, method: str, path: str) -> None:
    assert (await api.client().ask(method, path)).status == 401
    assert (await api.client("edw_bad").ask(method, path)).status == 401
    assert (await (await api.someone()).ask(method, path)).status in (404, 405)
