"""Key pairs of an integration over the API: what a receiver verifies with the public key alone."""

from typing import Any

import pytest

from tests.api_client import Api, Client
from tests.ed25519 import verified_by
from tests.fleet.webhook_receiver import Receiver
from tests.ledger.audit import LedgerContents
from worker.domain.api_token import Role

ALL = "/v2/integrations"


@pytest.fixture
async def path(admin: Client, receiver: Receiver) -> str:
    made = await admin.create(configuration={"url": receiver.url})
    return f"{ALL}/{made['id']}"


async def rotate(admin: Client, path: str, **attributes: Any) -> list[dict[str, Any]]:
    answer = await admin.post(f"{path}/keys/rotate", {"data": attributes} if attributes else None)
    assert answer.status == 201, answer.raw
    found: list[dict[str, Any]] = answer.data
    return found


async def test_receivers_verify_with_the_public_key_and_during_an_overlap_with_either(
    admin: Client, path: str, receiver: Receiver
) -> None:
    async def verifies() -> list[bool]:
        sent = len(receiver.received)
        assert (await admin.post(f"{path}/test")).data["succeeded"]
        got = receiver.received[sent]
        return [verified_by(each, got.headers, got.raw) for each in (first, second)]

    assert (await admin.get(f"{path}/keys")).data == []
    (made,) = await rotate(admin, path)
    first = second = made["public_key"]
    assert (made["type"], made["algorithm"]) == ("signing-key", "ed25519")
    assert await verifies() == [True, True]
    newest, older = await rotate(admin, path, overlap=3600)
    second = newest["public_key"]
    assert (older["public_key"], "retires_at" in older, "retires_at" in newest) == (first, True, False)
    assert await verifies() == [True, True]
    await rotate(admin, path, overlap=0)
    assert await verifies() == [False, False]
    assert (await admin.delete(f"{path}/keys")).status == 204
    assert (await admin.get(f"{path}/keys")).data == []
    await admin.post(f"{path}/test")
    assert "webhook-signature" not in receiver.received[-1].headers


async def test_everybody_who_reads_sees_public_keys_and_nobody_a_private_one(
    api: Api, admin: Client, path: str
) -> None:
    (made,) = await rotate(admin, path)
    reader = api.client(await api.token(Role.READ))
    assert (await reader.get(f"{path}/keys")).data == [made]
    assert (await reader.post(f"{path}/keys/rotate")).status == 403
    assert (await reader.delete(f"{path}/keys")).status == 403
    # A change of the configuration keeps them.
    await admin.put(path, {"data": {"configuration": {"url": "https://a.example"}}})
    answers = [await client.get(each) for client in (admin, reader) for each in (path, f"{path}/keys", ALL)]
    answers.append(await admin.get("/v2/audit"))
    assert [each["action"] for each in answers[-1].data][1] == "integration.keys_rotated"
    assert answers[-1].data[1]["after"] == {"keys": [made["id"]]}
    assert (await reader.get(f"{path}/keys")).data == [made]
    assert not [answer.raw for answer in answers if b"whsk_" in answer.raw or b"sealed:" in answer.raw]
    assert "whsk_" not in str((await LedgerContents.read(api.ledger)).tables)


async def test_a_rotation_that_cannot_be_is_refused_with_its_reason(admin: Client, path: str) -> None:
    for overlap in (-1, "1h", 31 * 86_400):
        refused = await admin.post(f"{path}/keys/rotate", {"data": {"overlap": overlap}})
        assert (refused.status, refused.pointers) == (422, ["/data/overlap"])
    for _ in range(3):
        await rotate(admin, path)
    refused = await admin.post(f"{path}/keys/rotate")
    assert refused.status == 422
    assert "at most 3 may" in refused.errors[0]["detail"]
    stomp = {"destination": "/queue/q", "addresses": ["stomp://a.example"]}
    other = await admin.create(integration_type="stomp", configuration=stomp)
    refused = await admin.post(f"{ALL}/{other['id']}/keys/rotate")
    assert refused.status == 422
    assert "the type stomp have no signing keys" in refused.errors[0]["detail"]
