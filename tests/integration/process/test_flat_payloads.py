"""Events with a flat `payload`, by every way in, from a producer's bytes to a receiver; and their redelivery."""

import json
from typing import Any

import pytest

from config.settings import Settings
from tests.api_client import served
from tests.fleet.ledger_state import balanced
from tests.fleet.producers import ForeignProducer, push_to_list
from tests.fleet.scene import FleetScene
from tests.fleet.variants import on_both_brokers
from tests.samples import SCOPE
from tests.waiting import eventually
from worker.publisher import Publisher

KEY = "one-time-password-token-request.created"
#: With a number that a programming language would spoil.
FLAT = '{"one_time_password_token":"t","purpose":"reset","n":10.00}'
OWN = {"type": KEY, "store_id": SCOPE.store_id, "org_id": SCOPE.org_id}
CLOUD = {"specversion": "1.0", "source": "/s", "type": KEY, "storeid": SCOPE.store_id, "orgid": SCOPE.org_id}


def own(event_id: str) -> bytes:
    return json.dumps(OWN | {"id": event_id}).encode()[:-1] + f', "payload": {FLAT}}}'.encode()


def cloud(event_id: str) -> bytes:
    return json.dumps(CLOUD | {"id": event_id, "edwpayload": True}).encode()[:-1] + f', "data": {FLAT}}}'.encode()


@on_both_brokers
async def test_a_flat_payload_reaches_its_receiver_as_it_is_by_every_way_in(
    scene: FleetScene, producer: ForeignProducer, settings: Settings
) -> None:
    integration = await scene.register(observes=(KEY,))
    scene.receiver.answers = [503]
    await scene.start_worker(EDW_RETRY_SCHEDULE="100ms").ready()

    async with Publisher(settings) as publisher:
        await publisher.apublish(own("publisher"))
    await eventually(scene.receiver.got(2), "it is tried again")
    assert settings.redis_url is not None
    push_to_list(settings.redis_url.get_secret_value(), own("queue"), b"[" + cloud("cloudevent") + b"]")
    producer.send(kwargs={"events": [OWN | {"id": "celery", "payload": json.loads(FLAT)}]})
    async with served(settings) as api:
        admin = await api.someone()
        assert (await admin.post("/v2/events", b'{"data": ' + own("http") + b"}")).status == 202
        await eventually(scene.receiver.got(6), "each is delivered")
        job = (await admin.get("/v2/events/http")).data["jobs"][0]["id"]
        assert (await admin.post(f"/v2/integrations/{integration.id}/jobs/{job}/redeliver")).status == 202
        await eventually(scene.receiver.got(7), "it is delivered again")
        tried = await admin.post(f"/v2/integrations/{integration.id}/test", {"data": {"payload": {"a": 1}}})
        assert tried.data["succeeded"] is True

    *bodies, sample = [each.body for each in scene.receiver.received]
    ids = ["celery", "cloudevent", "http", "http", "publisher", "publisher", "queue"]
    assert sorted(body["id"] for body in bodies) == ids
    for each in scene.receiver.received[:-1]:
        assert each.body["payload"] == json.loads(FLAT)
        assert json.loads(each.body["resources"]) == json.loads(FLAT)
        assert each.headers["X-MOLTIN-INTEGRATION-TRIGGER"] == KEY
        if each.body["id"] != "celery":
            # Celery decodes a message's JSON.
            assert b'"payload":' + FLAT.encode() in each.raw
    assert sample["payload"] == {"a": 1}
    await balanced(scene.ledger)


@pytest.mark.parametrize("beside", [{"data": {"type": "order"}}, {"included": []}])
async def test_both_at_once_go_to_the_rejected_list(scene: FleetScene, beside: dict[str, Any]) -> None:
    await scene.start_worker().ready()
    await scene.put_in_intake(OWN | {"id": "e-1", "payload": {"a": 1}} | beside)

    async def rejected() -> bool:
        return len(await scene.ledger.inbox.rejected(5)) == 1

    await eventually(rejected, "it is on the rejected list")
    (entry,) = await scene.ledger.inbox.rejected(5)
    assert (entry.field, entry.reason.split(":")[0]) == ("payload", f"is beside {next(iter(beside))}")
