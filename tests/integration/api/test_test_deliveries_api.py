"""A test of an integration: a sample event that is really sent, answered with its log, and owed to nobody."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from deliverers.contract import Delivery
from deliverers.webhook import WebhookConfiguration, WebhookDeliverer
from tests.api_client import Api, Client, Serve
from tests.counterparts.ports import free_port
from tests.fleet.webhook_receiver import Receiver
from tests.integration.api.specification import is_log, is_refusal
from tests.ledger.audit import LedgerContents
from tests.samples import SCOPE
from tests.waiting import eventually
from worker.delivery import attempt_runner, sample_delivery
from worker.domain.event import Scope

ALL = "/v2/integrations"


@pytest.fixture
async def integration(admin: Client, receiver: Receiver) -> str:
    created = await admin.create(
        name="ERP", description="informs the ERP", configuration={"url": receiver.url, "secret_key": "s3cret-9876"}
    )
    return str(created["id"])


async def kept(api: Api) -> Any:
    """Everything that a delivery may leave in the ledger. (A token's look-up leaves nothing.)"""
    return (await LedgerContents.read(api.ledger)).tables


async def test_a_sample_event_is_really_delivered_and_its_log_is_the_answer(
    admin: Client, integration: str, receiver: Receiver
) -> None:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    answer = await admin.post(f"{ALL}/{integration}/test", headers=trace)

    assert answer.status == 200, answer.raw
    is_log(answer.data)
    assert (answer.data["succeeded"], answer.data["status_code"], answer.data["body"]) == (True, 200, "ok")
    assert (answer.data["attempt"], answer.data["error_detail"]) == (1, "")
    assert answer.data["triggered_by"] == "order.paid"
    assert answer.data["relationships"]["integration"]["data"]["id"] == integration
    (sent,) = receiver.received
    assert sent.headers["X-MOLTIN-SECRET-KEY"] == "s3cret-9876"
    assert sent.headers["traceparent"] == trace["traceparent"]
    assert sent.headers["webhook-id"] == answer.data["relationships"]["job"]["data"]["id"]
    assert sent.body["id"] == answer.data["event_id"]
    assert (sent.body["triggered_by"], sent.body["attempt"]) == ("order.paid", 1)
    assert sent.body["integration"] == {
        "id": integration,
        "integration_type": "webhook",
        "name": "ERP",
        "description": "informs the ERP",
    }
    assert (sent.body["store_id"], sent.body["org_id"]) == (SCOPE.store_id, SCOPE.org_id)
    assert sent.body["payload"]["data"]["type"] == "order"
    assert b"s3cret" not in sent.raw + answer.raw


async def test_a_test_leaves_nothing_in_the_ledger(
    api: Api, admin: Client, integration: str, receiver: Receiver
) -> None:
    before = await kept(api)
    receiver.answers = [200, 500, 410]
    answers = [await admin.post(f"{ALL}/{integration}/test") for _ in range(3)]
    assert [answer.data["status_code"] for answer in answers] == [200, 500, 410]
    assert await kept(api) == before
    for path in (f"{ALL}/logs", f"{ALL}/{integration}/logs", f"{ALL}/{integration}/jobs"):
        assert (await admin.get(path)).data == []
    # 410 disables an integration where a job meets it.
    assert (await admin.get(f"{ALL}/{integration}")).data["enabled"] is True
    job = answers[0].data["relationships"]["job"]["data"]["id"]
    assert (await admin.get(f"{ALL}/{integration}/jobs/{job}")).status == 404
    assert (await admin.get(f"/v2/events/{answers[0].data['event_id']}")).status == 404


async def test_a_refusal_is_a_log_too(admin: Client, integration: str, receiver: Receiver) -> None:
    receiver.answers = [503]
    answer = await admin.post(f"{ALL}/{integration}/test")
    assert answer.status == 200
    is_log(answer.data)
    assert (answer.data["succeeded"], answer.data["status_code"], answer.data["body"]) == (False, 503, "try again")
    assert "503" in answer.data["error_detail"]
    request, response = answer.data["request"], answer.data["response"]
    assert (request["method"], request["url"], request["peer"]) == ("POST", receiver.url, "127.0.0.1")
    assert ["X-MOLTIN-SECRET-KEY", "********"] in request["headers"]
    assert response["status_line"] == "HTTP/1.1 503 Service Unavailable"
    assert ["Content-Type", "text/plain; charset=utf-8"] in response["headers"]
    assert answer.data["times"]["total"] >= answer.data["times"]["first_byte"]
    assert b"s3cret" not in answer.raw
    # It is not tried again.
    assert len(receiver.received) == 1


async def test_a_receiver_that_is_not_there_is_reported_in_words(admin: Client) -> None:
    port = free_port()
    created = await admin.create(configuration={"url": f"http://127.0.0.1:{port}/hook"})
    answer = await admin.post(f"{ALL}/{created['id']}/test")
    assert answer.status == 200
    is_log(answer.data)
    assert "status_code" not in answer.data
    assert answer.data["succeeded"] is False
    assert answer.data["error_detail"] == f"connection refused by 127.0.0.1:{port}"


async def test_addresses_that_a_worker_may_not_reach_no_test_reaches_either(serve: Serve, receiver: Receiver) -> None:
    api = await serve(egress_allow=())
    admin = await api.someone()
    created = await admin.create(configuration={"url": receiver.url})
    answer = await admin.post(f"{ALL}/{created['id']}/test")
    assert answer.data["succeeded"] is False
    assert "address not allowed: 127.0.0.1" in answer.data["error_detail"]
    assert receiver.received == []


async def test_a_receiver_that_hangs_is_given_up_at_the_deadline(serve: Serve, receiver: Receiver) -> None:
    api = await serve(webhook_timeout=0.2)
    admin = await api.someone()
    created = await admin.create(configuration={"url": receiver.url})
    receiver.hold = asyncio.Event()
    answer = await admin.post(f"{ALL}/{created['id']}/test")
    assert answer.data["succeeded"] is False
    assert "no answer within 0.2 s" in answer.data["error_detail"]
    assert 0.15 < answer.data["processing_time"] < 5


async def test_a_disabled_integration_can_be_tried_and_stays_disabled(
    admin: Client, integration: str, receiver: Receiver
) -> None:
    await admin.put(f"{ALL}/{integration}", {"data": {"enabled": False}})
    assert (await admin.post(f"{ALL}/{integration}/test")).data["succeeded"] is True
    assert len(receiver.received) == 1
    assert (await admin.get(f"{ALL}/{integration}")).data["enabled"] is False


async def test_a_change_is_tried_as_it_is_now(admin: Client, integration: str, receiver: Receiver) -> None:
    await admin.post(f"{ALL}/{integration}/test")
    configuration = {"url": receiver.url, "secret_key": "another-key"}
    await admin.put(f"{ALL}/{integration}", {"data": {"name": "CRM", "configuration": configuration}})
    await admin.post(f"{ALL}/{integration}/test")
    first, second = receiver.received
    assert (first.body["integration"]["name"], second.body["integration"]["name"]) == ("ERP", "CRM")
    assert second.headers["X-MOLTIN-SECRET-KEY"] == "another-key"


async def test_the_sample_may_be_ones_own(admin: Client, integration: str, receiver: Receiver) -> None:
    sample = {
        "type": "order.created",
        "data": {"type": "order", "id": "o-123", "total": 10},
        "included": {"items": [{"id": "i-1"}]},
    }
    answer = await admin.post(f"{ALL}/{integration}/test", {"data": sample})
    assert (answer.status, answer.data["triggered_by"]) == (200, "order.created")
    (sent,) = receiver.received
    assert sent.body["triggered_by"] == "order.created"
    assert sent.body["payload"] == {"data": sample["data"], "included": sample["included"]}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":{}}', b'{"data":{"type":"order.paid"}}', b" "])
async def test_what_is_left_out_of_a_sample_is_made_up(
    admin: Client, integration: str, receiver: Receiver, body: bytes
) -> None:
    answer = await admin.post(f"{ALL}/{integration}/test", body)
    assert answer.status == 200, answer.raw
    assert receiver.received[0].body["payload"]["data"]["type"] == "order"


async def test_an_organisations_own_integration_is_tried_with_an_event_of_the_organisation(
    api: Api, receiver: Receiver
) -> None:
    organisation = await api.someone(scope=Scope(SCOPE.org_id))
    created = await organisation.create(observes=["integration.created"], configuration={"url": receiver.url})
    assert (await organisation.post(f"{ALL}/{created['id']}/test")).data["succeeded"] is True
    assert receiver.received[0].body["org_id"] == SCOPE.org_id
    assert not receiver.received[0].body.get("store_id")


async def test_a_type_that_nothing_here_delivers_is_reported(api: Api, admin: Client, integration: str) -> None:
    """As another installation with more deliverers may have registered it."""
    (found,) = await api.ledger.integrations.get([integration])
    foreign = replace(found, id=str(uuid4()), integration_type="homing_pigeon", configuration={"loft": "9"})
    await api.ledger.integrations.put(foreign)
    answer = await admin.post(f"{ALL}/{foreign.id}/test")
    assert answer.status == 200
    is_log(answer.data)
    assert answer.data["succeeded"] is False
    assert "no deliverer for the integration_type 'homing_pigeon'" in answer.data["error_detail"]


async def test_a_secret_that_no_key_opens_is_reported(
    serve: Serve, admin: Client, integration: str, receiver: Receiver
) -> None:
    keyless = (await serve(secrets_keys=())).client(admin.token)
    answer = await keyless.post(f"{ALL}/{integration}/test")
    assert answer.status == 200
    assert answer.data["succeeded"] is False
    assert answer.data["error_detail"] == "the integration's secrets cannot be opened now"
    assert receiver.received == []


@pytest.mark.parametrize(
    ("sample", "pointer", "words"),
    [
        ({"type": "order.payed"}, "/data/type", "order.paid"),
        ({"type": 5}, "/data/type", "a string"),
        ({"type": ""}, "/data/type", "unknown"),
        ({"data": []}, "/data/data", "an object"),
        ({"data": False}, "/data/data", "an object"),
        ({"data": 5}, "/data/data", "an object"),
        ({"data": [1]}, "/data/data", "an object"),
        ({"data": "x"}, "/data/data", "an object"),
        ({"included": 5}, "/data/included", "an object or a list"),
    ],
)
async def test_a_sample_that_is_no_event_is_refused_by_its_pointer_and_not_sent(
    admin: Client, integration: str, receiver: Receiver, sample: dict[str, Any], pointer: str, words: str
) -> None:
    answer = await admin.post(f"{ALL}/{integration}/test", {"data": sample})
    is_refusal(answer, 422)
    assert answer.pointers == [pointer]
    assert words in answer.errors[0]["detail"]
    assert receiver.received == []


@pytest.mark.parametrize("body", [[], 5, {"data": 5}, {"data": []}, {"data": None}])
async def test_a_sample_that_is_no_object_is_refused(
    admin: Client, integration: str, receiver: Receiver, body: Any
) -> None:
    answer = await admin.post(f"{ALL}/{integration}/test", body)
    is_refusal(answer, 422)
    assert answer.pointers == ["/data"]
    assert receiver.received == []


async def test_a_body_that_is_no_json_is_refused(admin: Client, integration: str, receiver: Receiver) -> None:
    is_refusal(await admin.post(f"{ALL}/{integration}/test", b"{"), 400)
    is_refusal(await admin.post(f"{ALL}/{integration}/test", b"x", {"Content-Type": "text/plain"}), 415)
    assert receiver.received == []


async def test_a_test_that_is_under_way_holds_up_another_of_the_same_integration_and_no_others(
    admin: Client, integration: str, receiver: Receiver
) -> None:
    other = (await admin.create(configuration={"url": receiver.url}))["id"]
    receiver.hold = asyncio.Event()
    first = asyncio.create_task(admin.post(f"{ALL}/{integration}/test"))
    await eventually(receiver.got(1), "the first one is under way")

    second = await admin.post(f"{ALL}/{integration}/test")
    is_refusal(second, 429)
    assert int(second.headers["Retry-After"]) > 0
    others = asyncio.create_task(admin.post(f"{ALL}/{other}/test"))
    await eventually(receiver.got(2), "another integration's is under way")
    receiver.hold.set()

    assert (await first).data["succeeded"] is True
    assert (await others).data["succeeded"] is True
    assert (await admin.post(f"{ALL}/{integration}/test")).data["succeeded"] is True
    assert len(receiver.received) == 3


async def test_a_process_makes_so_many_tests_at_once(
    admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_delivery, "AT_ONCE", 2)
    ids = [(await admin.create(configuration={"url": receiver.url}))["id"] for _ in range(3)]
    receiver.hold = asyncio.Event()
    first = [asyncio.create_task(admin.post(f"{ALL}/{each}/test")) for each in ids[:2]]
    await eventually(receiver.got(2), "two are under way")
    third = await admin.post(f"{ALL}/{ids[2]}/test")
    assert third.status == 429
    # It speaks of the process, since none of this integration is under way.
    assert "this integration" not in third.errors[0]["detail"]
    receiver.hold.set()
    assert [(await each).status for each in first] == [200, 200]
    assert (await admin.post(f"{ALL}/{ids[2]}/test")).status == 200


async def test_one_store_does_not_take_all_the_tests_that_a_process_makes(
    api: Api, admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_delivery, "OF_SCOPE", 1)
    foreign = await api.someone(scope=Scope("org-2", "store-2"))
    ids = [(await admin.create(configuration={"url": receiver.url}))["id"] for _ in range(2)]
    elsewhere = (await foreign.create(configuration={"url": receiver.url}))["id"]
    receiver.hold = asyncio.Event()
    first = asyncio.create_task(admin.post(f"{ALL}/{ids[0]}/test"))
    await eventually(receiver.got(1), "one is under way")
    assert (await admin.post(f"{ALL}/{ids[1]}/test")).status == 429
    another = asyncio.create_task(foreign.post(f"{ALL}/{elsewhere}/test"))
    await eventually(receiver.got(2), "another store's is under way")
    receiver.hold.set()
    assert [(await each).status for each in (first, another)] == [200, 200]
    assert (await admin.post(f"{ALL}/{ids[1]}/test")).status == 200


async def test_a_deliverer_that_answers_what_is_no_outcome_has_delivered_nothing(
    admin: Client, integration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(WebhookDeliverer, "deliver", nothing)
    answer = await admin.post(f"{ALL}/{integration}/test")
    assert answer.status == 200
    assert answer.data["succeeded"] is False
    assert answer.data["error_detail"] == "internal error of the deliverer"


async def test_a_deliverers_bug_is_logged_without_the_secrets_that_it_was_given(
    admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"]
    configuration = {"url": receiver.url, "secret_key": "top-s3cret-9876", "signing_keys": keys}
    created = await admin.create(configuration=configuration)

    async def indiscreet(_: Any, delivery: Delivery) -> None:
        given = delivery.configuration
        assert isinstance(given, WebhookConfiguration)
        assert given.secret_key is not None
        try:
            raise ValueError(f"bad headers {given.secret_headers}")
        except ValueError as error:
            raise RuntimeError(f"cannot sign with {configuration['signing_keys']}") from error

    monkeypatch.setattr(WebhookDeliverer, "deliver", indiscreet)
    with capture_logs() as said:
        answer = await admin.post(f"{ALL}/{created['id']}/test")

    (failed,) = [each for each in said if each["event"] == "deliverer failed"]
    assert failed["log_level"] == "error"
    assert "ValueError: bad headers {'X-MOLTIN-SECRET-KEY': '********'}" in failed["exception"]
    assert "RuntimeError: cannot sign with ['********']" in failed["exception"]
    for secret in ("s3cret", keys[0]):
        assert secret not in str(said)
        assert secret.encode() not in answer.raw


async def test_a_deliverer_that_fails_is_a_failed_attempt_and_no_traceback(
    api: Api, admin: Client, integration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the secret of this failure")

    monkeypatch.setattr(attempt_runner, "delivery_of", broken)
    answer = await admin.post(f"{ALL}/{integration}/test")
    assert answer.status == 200
    assert answer.data["error_detail"] == "internal error of the deliverer"
    monkeypatch.undo()
    assert (await admin.post(f"{ALL}/{integration}/test")).data["succeeded"] is True
