"""The user's own specification, held against what the API really answers and really takes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are another package

from tests.api_client import Answer, Api, Client, Serve, webhook
from tests.counterparts.ports import free_port
from tests.fleet.processes import StartWorker
from tests.fleet.webhook_receiver import Receiver
from tests.integration.api.specification import (
    CONFIGURATIONS,
    SCHEMA,
    SPECIFICATION,
    conforms,
    examples,
    is_integration,
    is_log,
    is_page,
    is_refusal,
    violations,
)
from tests.ledger import surgery
from tests.ledger.scene import LedgerScene
from tests.samples import ELSEWHERE, SCOPE
from tests.waiting import eventually
from worker.domain.api_token import Role
from worker.domain.event import Scope
from worker.ledger import Verdict

NO_INTEGRATION = "/v2/integrations/2da46671-b4c2-44ac-b133-d1221aafc77b"


def from_the_examples(integration_type: str) -> dict[str, Any]:
    """A create body made of nothing but the specification's examples, and of an observable key."""
    configuration = examples(CONFIGURATIONS[integration_type])
    body = examples("IntegrationCreate") | {"integration_type": integration_type}
    return body | {"observes": ["order.created"], "configuration": configuration}


def test_the_specification_cannot_be_fulfilled_as_it_is_and_can_as_amended() -> None:
    given = json.loads(SPECIFICATION.read_text())
    Draft202012Validator.check_schema(given)
    Draft202012Validator.check_schema(SCHEMA)
    # Each amendment is needed: were it made in the specification itself, this would fail.
    assert "components" not in given
    assert "#/components/schemas/" in SPECIFICATION.read_text()
    sqs = examples("AWSSQSConfigurationObject")
    assert not list(violations("WebhookConfigurationObject", sqs))
    assert not list(violations("AWSSQSConfigurationObject", sqs))
    assert "url" not in given["$defs"]["STOMPConfigurationObject"]["properties"]
    assert "observers" not in given["$defs"]["IntegrationCreate"]["properties"]


def test_the_validator_would_notice() -> None:
    """What is valid here is so for what it says, and not because nothing is looked at."""
    good = {"id": "i", "type": "integration", "configuration": {"url": "https://a.example"}, "observes": ["order.paid"]}
    conforms(good, "Integration")
    for change in (
        {"type": "integration-log"},
        {"enabled": "yes"},
        {"observes": "order.paid"},
        {"integration_type": "aws-sqs"},
        {"configuration": {"secret_key": "s"}},
    ):
        assert list(violations("Integration", good | change)), change
    assert list(violations("Timestamps", {"created_at": "yesterday"}))
    assert list(violations("LinkURI", "no uri"))
    assert list(violations("IntegrationLog", {"status_code": None}))
    assert list(violations("ErrorResponse", {"errors": [{"status": 404}]}))


@pytest.mark.parametrize("integration_type", CONFIGURATIONS)
async def test_the_specifications_own_examples_make_an_integration_of_each_type(
    admin: Client, integration_type: str
) -> None:
    body = from_the_examples(integration_type)
    conforms(body, "IntegrationCreate")

    answer = await admin.post("/v2/integrations", {"data": body})

    assert answer.status == 201, answer.raw
    is_integration(answer.data)
    assert answer.headers["Location"] == answer.data["links"]["self"]
    shown = {name: value for name, value in answer.data.items() if name in body}
    assert shown == body


def _examples() -> Iterator[tuple[str, str, str]]:
    for integration_type, name in CONFIGURATIONS.items():
        for field in examples(name):
            yield integration_type, "configuration", field
    for field in (*examples("IntegrationCreate"), *examples("Integration")):
        yield "webhook", "", field


@pytest.mark.parametrize(("integration_type", "part", "field"), sorted(set(_examples())))
async def test_every_example_of_a_field_is_taken_by_itself(
    admin: Client, integration_type: str, part: str, field: str
) -> None:
    """Among values of our own, so that no other example carries it."""
    own: dict[str, dict[str, Any]] = {
        "webhook": {"url": "https://a.example/hook"},
        "aws_sqs": {
            "url": "https://sqs.eu-central-1.amazonaws.com/1/q",
            "aws_access_key_id": "AKIA0000000000000000",
            "aws_secret_access_key": "s" * 40,
            "region": "eu-central-1",
        },
        "stomp": {"destination": "/queue/q", "addresses": ["stomp://broker.example:61613"]},
    }
    body = webhook(integration_type=integration_type, configuration=own[integration_type])
    if part:
        name = CONFIGURATIONS[integration_type]
        body["configuration"] = own[integration_type] | {field: examples(name)[field]}
    else:
        body[field] = (examples("Integration") | examples("IntegrationCreate"))[field]

    answer = await admin.post("/v2/integrations", {"data": body})

    assert answer.status == 201, answer.raw
    is_integration(answer.data)
    if field != "id":
        shown = answer.data["configuration"] if part else answer.data
        expected = body["configuration"] if part else body
        assert shown[field] == expected[field]


async def test_an_id_that_is_sent_along_names_nothing(admin: Client) -> None:
    answer = await admin.post("/v2/integrations", {"data": webhook(id=examples("Integration")["id"])})
    assert answer.status == 201
    assert answer.data["id"] != examples("Integration")["id"]


async def test_what_the_domain_says_beside_the_specification_is_taken_and_never_emitted(admin: Client) -> None:
    observers = webhook(observers=["order.paid", "order.created"])
    del observers["observes"]
    hyphen = from_the_examples("aws_sqs") | {"integration_type": "aws-sqs"}
    single = webhook(
        integration_type="stomp",
        configuration={"destination": "/queue/q", "url": "stomp+ssl://broker.example:61614"},
    )

    answers = [await admin.post("/v2/integrations", {"data": body}) for body in (observers, hyphen, single)]

    assert [answer.status for answer in answers] == [201] * 3, [answer.raw for answer in answers]
    for answer in answers:
        is_integration(answer.data)
    first, second, third = (answer.data for answer in answers)
    assert first["observes"] == ["order.paid", "order.created"]
    assert "observers" not in first
    assert second["integration_type"] == "aws_sqs"
    assert third["configuration"] == {"destination": "/queue/q", "addresses": ["stomp+ssl://broker.example:61614"]}


async def test_an_integration_type_that_is_left_out_is_the_specifications_default(admin: Client) -> None:
    body = webhook()
    del body["integration_type"], body["type"]
    assert (await admin.create(**body))["integration_type"] == "webhook"


async def test_a_stomp_integration_needs_a_destination_and_an_address(admin: Client) -> None:
    body = webhook(integration_type="stomp", configuration={"username": "u"})
    answer = await admin.post("/v2/integrations", {"data": body})
    is_refusal(answer, 422)
    assert set(answer.pointers) == {"/data/configuration/destination", "/data/configuration/addresses"}


@pytest.mark.parametrize("integration_type", CONFIGURATIONS)
async def test_reading_updating_and_listing_answer_integrations(
    admin: Client, reader: Client, integration_type: str
) -> None:
    created = await admin.create(**from_the_examples(integration_type))
    path = f"/v2/integrations/{created['id']}"
    change = {"type": "integration", "description": "changed", "enabled": False}
    conforms(change, "IntegrationUpdate")

    read = await reader.get(path)
    updated = await admin.put(path, {"data": change})
    listed = await reader.get("/v2/integrations")

    assert (read.status, updated.status) == (200, 200)
    for document in (read.data, updated.data, *is_page(listed, "PaginationLinks", set())):
        is_integration(document)
    conforms(listed.document["results"], "Results")
    assert listed.document["results"] == {"total": 1}
    assert (updated.data["description"], updated.data["enabled"]) == ("changed", False)
    unchanged = set(created) - {"description", "enabled", "meta"}
    assert {name: updated.data[name] for name in unchanged} == {name: created[name] for name in unchanged}
    # What was answered may be sent back as it is, to create or to update.
    again = await admin.put(path, {"data": updated.data})
    assert again.status == 200, again.raw
    conforms(updated.data, "IntegrationUpdate", "IntegrationCreate")


async def test_an_organisations_own_integration_is_one_too(api: Api) -> None:
    organisation = await api.someone(scope=Scope(SCOPE.org_id))
    created = await organisation.create(observes=["integration.created"])
    is_integration(created)
    assert (created["org_id"], "store_id" in created) == (SCOPE.org_id, False)


async def test_the_links_of_integrations_and_jobs_are_there_exactly_where_the_specification_says(
    admin: Client, scene: LedgerScene
) -> None:
    ids = [(await admin.create())["id"] for _ in range(5)]
    jobs = await scene.owe(ids[0], *(f"e-{n}" for n in range(5)))
    assert len(jobs) == 5
    for path in ("/v2/integrations", f"/v2/integrations/{ids[0]}/jobs"):
        present = [
            set((await admin.get(path, limit=limit, offset=offset)).document["links"])
            for limit, offset in ((2, 0), (2, 2), (2, 4), (5, 0), (2, 6))
        ]
        # "first" is not there on the first page, "last" not where there is but one, "next" not on the last,
        # "prev" not on the first.
        assert present == [
            {"last", "next"},
            {"first", "last", "next", "prev"},
            {"first", "last", "prev"},
            set(),
            {"first", "last", "prev"},
        ], path
        for limit, offset in ((2, 0), (2, 2), (2, 4)):
            answer = await admin.get(path, limit=limit, offset=offset)
            is_page(answer, "PaginationLinks", set(answer.document["links"]))


async def test_the_links_of_logs_have_no_last(admin: Client, scene: LedgerScene) -> None:
    integration_id = (await admin.create())["id"]
    (job,) = await scene.owe(integration_id, "e-1")
    for attempt in range(5):
        (claim,) = await scene.claim(integration_id)
        await scene.settle(claim, Verdict.FAILED if attempt == 4 else Verdict.RETRY)
    own = f"/v2/integrations/{integration_id}"
    for path in ("/v2/integrations/logs", f"{own}/logs", f"{own}/jobs/{job}/logs"):
        for offset, present in ((0, {"next"}), (2, {"first", "next", "prev"}), (4, {"first", "prev"})):
            answer = await admin.get(path, limit=2, offset=offset)
            logs = is_page(answer, "LogsPaginationLinks", present)
            for log in logs:
                is_log(log)
        assert answer.document["results"] == {"total": 5}


async def test_logs_and_jobs_of_attempts_with_and_without_a_status_code_are_what_the_specification_says(
    api: Api, admin: Client, reader: Client, receiver: Receiver, start_worker: StartWorker
) -> None:
    """Everything real: a worker, a receiver that refuses once, and one that nobody is there for."""
    nowhere = f"http://127.0.0.1:{free_port()}/hook"
    answering = await admin.create(configuration={"url": receiver.url, "secret_key": "s3cret"})
    silent = await admin.create(configuration={"url": nowhere})
    receiver.answers = [404]
    await start_worker(EDW_RETRY_SCHEDULE="100ms").ready()

    published = await admin.post("/v2/events", {"data": {"id": "e-1", "type": "order.paid", "data": {"id": "o-1"}}})
    assert published.status == 202

    async def four_logs() -> Answer | None:
        answer = await reader.get("/v2/integrations/logs")
        return answer if len(answer.data) == 4 else None

    whole: Answer = await eventually(four_logs, "both attempts at both receivers are logged")
    for log in is_page(whole, "LogsPaginationLinks", set()):
        is_log(log)
    for integration in (answering, silent):
        path = f"/v2/integrations/{integration['id']}"
        (job,) = is_page(await reader.get(f"{path}/jobs"), "PaginationLinks", set())
        conforms(job, "IntegrationJob", "Meta")
        assert job["type"] == "integration-job"
        of_job = await reader.get(f"{path}/jobs/{job['id']}/logs")
        of_integration = await reader.get(f"{path}/logs")
        logs = is_page(of_job, "LogsPaginationLinks", set())
        assert logs == is_page(of_integration, "LogsPaginationLinks", set())
        assert [log["attempt"] for log in logs] == [2, 1]
        for log in logs:
            is_log(log)
            assert log["relationships"]["integration"]["data"]["id"] == integration["id"]
            assert log["relationships"]["job"]["data"]["id"] == job["id"]
    by_integration: dict[str, list[Any]] = {}
    for log in whole.data:
        by_integration.setdefault(log["relationships"]["integration"]["data"]["id"], []).append(log)
    delivered, refused = by_integration[answering["id"]]
    assert (delivered["succeeded"], delivered["status_code"], delivered["error_detail"]) == (True, 200, "")
    assert (refused["succeeded"], refused["status_code"], refused["body"]) == (False, 404, "try again")
    assert "outside of 2xx range" in refused["error_detail"]
    for unreached in by_integration[silent["id"]]:
        assert "status_code" not in unreached
        assert (unreached["succeeded"], unreached["body"]) == (False, "")
        assert "connection refused" in unreached["error_detail"]


async def test_every_refusal_is_an_error_response(
    serve: Serve, scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await serve(api_body_limit=2048)
    admin, reader, stranger = await api.someone(), await api.someone(Role.READ), await api.someone(scope=ELSEWHERE)
    integration = await admin.create()
    path = f"/v2/integrations/{integration['id']}"
    (job,) = await scene.owe(integration["id"], "e-1")
    (claim,) = await scene.claim(integration["id"])
    await scene.settle(claim, Verdict.SUCCEEDED)
    monkeypatch.setattr("worker.integrations.integration_service.TRIES", 0)
    xml = {"Content-Type": "text/xml"}

    is_refusal(await admin.post("/v2/integrations", b"{"), 400)
    is_refusal(await admin.get("/v2/integrations", limit=0), 400)
    is_refusal(await api.client().get("/v2/integrations"), 401)
    is_refusal(await reader.post("/v2/integrations", {"data": webhook()}), 403)
    is_refusal(await admin.get(NO_INTEGRATION), 404)
    is_refusal(await stranger.get(path), 404)
    is_refusal(await admin.get("/v2/flows"), 404)
    is_refusal(await admin.ask("PATCH", path, {"data": {}}), 405)
    is_refusal(await admin.put(path, {"data": {"name": "new"}}), 409)
    is_refusal(await admin.put(path, {"data": {"name": "new"}}, {"If-Match": '"7"'}), 412)
    is_refusal(await admin.post("/v2/integrations", b'{"data":"' + b"x" * 4096 + b'"}'), 413)
    is_refusal(await admin.post("/v2/integrations", b"<data/>", xml), 415)
    is_refusal(await admin.post("/v2/integrations", {"data": {}}), 422)
    await surgery.forget_event(scene.ledger, claim.event_ref)
    is_refusal(await admin.post(f"{path}/jobs/{job}/redeliver"), 409)
