"""An event through a real worker to a queue of ministack, and what the logs say of it."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from config.settings import Settings
from tests.counterparts.emulator import REGION
from tests.counterparts.ministack import Ministack
from tests.counterparts.server import started
from tests.fleet.ledger_state import balanced, logged, logs_of
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.samples import order_paid
from tests.waiting import eventually
from worker.domain.secrets_box import SecretsBox
from worker.ledger import Ledger
from worker.publisher import Publisher

SECRETS = ("aws_access_key_id", "aws_secret_access_key")


@pytest.fixture
def ministack() -> Iterator[Ministack]:
    yield from started(Ministack)


async def test_an_event_becomes_a_message_once_its_queue_is_there(
    start_worker: StartWorker, ministack: Ministack, register: Register, ledger: Ledger, settings: Settings
) -> None:
    keys = ministack.create_user("sqs:SendMessage", "sqs:SendMessageBatch")
    configuration = {
        # Of AWS, as an integration has it: the setting says where SQS is here.
        "url": f"https://sqs.{REGION}.amazonaws.com/000000000000/orders",
        "aws_access_key_id": keys[0],
        "aws_secret_access_key": keys[1],
        "region": REGION,
    }
    sealed = SecretsBox(settings.secrets_keys).seal(configuration, SECRETS)
    integration = await register(integration_type="aws_sqs", configuration=sealed)
    # Temporary credentials of the machine are nobody's here.
    worker = await start_worker(
        EDW_SQS_ENDPOINT=ministack.url,
        EDW_RETRY_SCHEDULE=f"300ms{30 * ' 1s'}",
        AWS_ACCESS_KEY_ID="ASIAQYLPMN5HHHFPENVI",
        AWS_SECRET_ACCESS_KEY="nobody-may-see-this",
        AWS_SESSION_TOKEN="nobody-may-see-that",
    ).ready()

    async with Publisher(settings) as publisher:
        await publisher.apublish_many(
            [order_paid(id=f"e-{n}", data={"type": "order", "id": f"o-{n}"}, included={"n": n}) for n in range(14)]
            + [
                {
                    name: each
                    for name, each in order_paid(id="flat", payload={"purpose": "reset"}).items()
                    if name != "data"
                }
            ]
        )
    await eventually(lambda: logged(ledger, integration.id, 15), "every first attempt is logged")
    queue = await asyncio.to_thread(ministack.create_queue, "orders")
    logs = await eventually(lambda: logged(ledger, integration.id, 15, succeeded=True), "every event is delivered")

    failures = [log for log in await logs_of(ledger, integration.id) if not log.succeeded]
    assert {(log.attempt, log.status_code, log.error_detail) for log in failures if log.attempt == 1} == {
        (1, 400, "queue does not exist")
    }
    assert {log.status_code for log in logs} == {200}
    messages = await asyncio.to_thread(_received, ministack, queue, 15)
    assert {message["id"]: message["data"] for message in messages} == {
        f"e-{n}": {"type": "order", "id": f"o-{n}", "included": {"n": n}} for n in range(14)
    } | {"flat": {"purpose": "reset"}}
    assert {log.body for log in logs} == {
        json.dumps({"MessageId": each}, separators=(",", ":")) for each in _ids(messages)
    }
    assert not any(worker.said(secret) for secret in (*keys, "nobody-may-see"))
    await balanced(ledger)


def _received(ministack: Ministack, queue: str, count: int) -> list[dict[str, Any]]:
    client, found = ministack.client("sqs"), list[dict[str, Any]]()
    while len(found) < count:
        messages = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)["Messages"]
        found += [json.loads(each["Body"]) | {"message": each["MessageId"]} for each in messages]
    return found


def _ids(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    return [message["message"] for message in messages]
