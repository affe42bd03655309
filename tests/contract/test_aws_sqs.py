from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from deliverers.aws_sqs import AwsSqsDeliverer
from deliverers.contract import Delivered, Delivery, Refused, Unreachable
from deliverers.envelopes import CLOUDEVENT_TYPE
from deliverers.testing import TRACE, DelivererContract, a_delivery
from tests.contract.sqs import SqsCounterpart, a_queue
from tests.counterparts.emulator import REGION
from tests.counterparts.ministack import Ministack
from tests.counterparts.moto import Moto

KIB = 1024
#: They look like real ones, and nobody's.
WRONG_KEYS = ("AKIAQYLPMN5HHHFPWRNG", "wr0ng/secret+key/bPxRfiCYEXAMPLEKEY00000")


def many(delivery: Delivery, count: int, **changes: Any) -> list[Delivery]:
    return [replace(delivery, job_id=f"job-{n}", event_id=f"event-{n}", **changes) for n in range(count)]


class SqsContract(DelivererContract):
    deliverer_class = AwsSqsDeliverer

    @asynccontextmanager
    async def fifo(self, counterpart: SqsCounterpart) -> AsyncIterator[SqsCounterpart]:
        keys = (counterpart.configuration["aws_access_key_id"], counterpart.configuration["aws_secret_access_key"])
        async with a_queue(counterpart.emulator, keys, "orders.fifo") as found:
            yield found

    async def test_the_message_is_a_cloudevent_and_its_attribute_says_so(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        outcome = await deliverer.deliver(delivery)
        (message,) = await counterpart.received_messages()
        assert '"total":10.00,"included":{"items":[{"id":"i-1"}]}}' in message["Body"]
        assert message["MessageAttributes"]["content-type"]["StringValue"] == CLOUDEVENT_TYPE
        body = json.loads(message["Body"])
        assert (body["specversion"], body["type"], body["integrationid"]) == ("1.0", "order.paid", "int-1")
        assert isinstance(outcome, Delivered)
        assert (outcome.status, json.loads(outcome.body)) == (200, {"MessageId": message["MessageId"]})

    async def test_the_trace_is_sent_in_attributes_and_in_the_cloudevent(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        assert isinstance(await deliverer.deliver(replace(delivery, trace=TRACE)), Delivered)
        (message,) = await counterpart.received_messages()
        reported = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        assert reported == {"content-type": CLOUDEVENT_TYPE, **TRACE}
        body = json.loads(message["Body"])
        assert {name: body[name] for name in TRACE} == TRACE

    async def test_many_at_once_share_requests(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        await deliverer.deliver(delivery)
        assert counterpart.tap.asked == 1
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in many(delivery, 50)))
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
        assert counterpart.tap.asked == 1 + 5
        assert len({outcome.body for outcome in outcomes if isinstance(outcome, Delivered)}) == 50

    async def test_a_message_by_itself_is_not_kept_waiting(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        for one in many(delivery, 5):
            assert isinstance(await deliverer.deliver(one), Delivered)
        assert counterpart.tap.asked == 5

    async def test_large_messages_share_no_more_than_a_request_holds(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        data = json.dumps({"type": "order", "id": "o", "text": "x" * 100 * KIB}).encode()
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in many(delivery, 6, data=data)))
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
        assert counterpart.tap.asked == 3
        assert len(await counterpart.received()) == 6

    async def test_characters_that_sqs_refuses_arrive_all_the_same(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        text = 'é\ufffe"\uffff\\ \U0001f600\x7f'
        data = json.dumps({"id": "o-1", "text": text}, ensure_ascii=False).encode()
        assert isinstance(await deliverer.deliver(replace(delivery, data=data)), Delivered)
        (body,) = await counterpart.received()
        assert body["data"]["text"] == text

    async def test_what_is_included_goes_where_it_is_too_much(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        large = replace(delivery, included=json.dumps({"items": ["x" * 300 * KIB]}).encode())
        assert isinstance(await deliverer.deliver(large), Delivered)
        (body,) = await counterpart.received()
        assert body["data"] == json.loads(delivery.data) | {"included": {"meta": {"includes_elided": True}}}

    async def test_what_is_too_large_without_it_fails_with_both_sizes_and_sends_nothing(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        data = json.dumps({"type": "order", "id": "o", "text": "x" * 300 * KIB}).encode()
        outcome = await deliverer.deliver(replace(delivery, data=data))
        assert isinstance(outcome, Refused)
        assert outcome.status is None
        assert outcome.reason.startswith("message of 307,")
        assert outcome.reason.endswith(" bytes is over the limit of 262,144 bytes even without what the event includes")
        assert counterpart.tap.asked == 0

    async def test_a_message_at_the_limit_is_taken_and_one_byte_more_is_not(
        self, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        bare = replace(delivery, included=None)
        small = AwsSqsDeliverer(self.options(counterpart))
        await small.open()
        await small.deliver(bare)
        (sent,) = await counterpart.received_messages()
        size = len(sent["Body"].encode()) + len("content-type" + "String" + CLOUDEVENT_TYPE)
        await small.close()
        for limit, kind in ((size, Delivered), (size - 1, Refused)):
            deliverer = AwsSqsDeliverer(self.options(counterpart, sqs_limit=limit))
            await deliverer.open()
            assert isinstance(await deliverer.deliver(bare), kind)
            await deliverer.close()

    async def test_a_queue_may_take_a_mebibyte_where_the_setting_says_so(
        self, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        attributes = {"MaximumMessageSize": str(KIB * KIB)}
        counterpart.emulator.client("sqs").set_queue_attributes(QueueUrl=counterpart.queue_url, Attributes=attributes)
        text = '"é' * (250 * KIB)
        large = replace(delivery, data=json.dumps({"id": "o", "text": text}, ensure_ascii=False).encode())
        deliverer = AwsSqsDeliverer(self.options(counterpart, sqs_limit=KIB * KIB))
        await deliverer.open()
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in (delivery, large, delivery)))
        await deliverer.close()
        assert [type(each) for each in outcomes] == [Delivered] * 3
        assert text in [body["data"].get("text") for body in await counterpart.received()]
        assert counterpart.tap.asked == 3

    async def test_a_fifo_queue_groups_by_the_resource_and_knows_a_job_again(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart
    ) -> None:
        async with self.fifo(counterpart) as fifo:
            delivery = a_delivery(AwsSqsDeliverer, fifo.configuration)
            first = await deliverer.deliver(delivery)
            again = await deliverer.deliver(replace(delivery, attempt=2))
            anew = await deliverer.deliver(replace(delivery, attempt=3, epoch=1))
            assert [type(each) for each in (first, again, anew)] == [Delivered] * 3
            messages = await fifo.received_messages()
        assert [json.loads(each["Body"])["attempt"] for each in messages] == [1, 3]
        assert [each["Attributes"]["MessageGroupId"] for each in messages] == ["o-1", "o-1"]
        assert [each["Attributes"]["MessageDeduplicationId"] for each in messages] == [
            f"{delivery.job_id}:0",
            f"{delivery.job_id}:1",
        ]
        assert isinstance(first, Delivered)
        assert "SequenceNumber" in first.body

    async def test_a_fifo_queue_takes_batches_whatever_the_ids_are(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart
    ) -> None:
        async with self.fifo(counterpart) as fifo:
            delivery = a_delivery(AwsSqsDeliverer, fifo.configuration)
            odd = ['"Zoë 1"', '"' + "x" * 129 + '"', "12345678901234567890123", "null", '""', '"a\\u0000b"']
            deliveries = [
                replace(one, data=f'{{"id":{identity}}}'.encode())
                for one, identity in zip(many(delivery, len(odd)), odd, strict=True)
            ]
            outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in deliveries))
            assert all(isinstance(outcome, Delivered) for outcome in outcomes), outcomes
            assert fifo.tap.asked == 1
            groups = [each["Attributes"]["MessageGroupId"] for each in await fifo.received_messages()]
        assert len(set(groups)) == len(odd)
        assert {"12345678901234567890123", "event-3", "event-4"} < set(groups)

    async def test_two_integrations_of_one_account_share_a_client(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        counterpart.emulator.create_queue("others")
        url = counterpart.configuration["url"].replace("/orders", "/others")
        other = a_delivery(AwsSqsDeliverer, {**counterpart.configuration, "url": url})
        outcomes = await asyncio.gather(deliverer.deliver(delivery), deliverer.deliver(other))
        assert [type(each) for each in outcomes] == [Delivered, Delivered]
        assert len(deliverer._clients) == 1
        assert len(await counterpart.received()) == 1

    async def test_a_queue_that_is_not_there_is_said(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        counterpart.refuse()
        outcome = await deliverer.deliver(delivery)
        assert isinstance(outcome, Refused)
        assert (outcome.status, outcome.reason) == (400, "queue does not exist")
        record = outcome.exchange
        assert record is not None
        assert record.request is not None
        assert record.answer is not None
        assert record.request.method == "POST"
        assert dict(record.request.headers)["X-Amz-Target"] == "AmazonSQS.SendMessageBatch"
        assert dict(record.request.headers)["Authorization"] == "********"
        assert record.answer.status_line.split()[1] == "400"

    async def test_an_emulators_endpoint_stands_in_for_the_urls_own(
        self, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        path = counterpart.configuration["url"].partition("//")[2].partition("/")[2]
        aws = {**counterpart.configuration, "url": f"https://sqs.{REGION}.amazonaws.com/{path}"}
        deliverer = AwsSqsDeliverer(self.options(counterpart, sqs_endpoint=f"http://127.0.0.1:{counterpart.tap.port}"))
        await deliverer.open()
        assert isinstance(await deliverer.deliver(a_delivery(AwsSqsDeliverer, aws)), Delivered)
        refused = await deliverer.deliver(a_delivery(AwsSqsDeliverer, {**aws, "url": aws["url"] + "-missing"}))
        await deliverer.close()
        assert len(await counterpart.received()) == 1
        assert isinstance(refused, Refused)
        assert refused.exchange is not None
        assert refused.exchange.request is not None
        # Where the deployment's endpoint is, a queue's owner does not learn.
        assert (refused.exchange.request.url, refused.exchange.request.peer) == (aws["url"] + "-missing", "")
        assert str(counterpart.tap.port) not in repr(refused.exchange)

    async def test_the_environment_lends_no_keys_and_no_endpoint(
        self,
        deliverer: AwsSqsDeliverer,
        counterpart: SqsCounterpart,
        delivery: Delivery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        foreign: Mapping[str, str] = {
            "AWS_PROFILE": "nobody",
            "AWS_ACCESS_KEY_ID": WRONG_KEYS[0],
            "AWS_SECRET_ACCESS_KEY": WRONG_KEYS[1],
            "AWS_SESSION_TOKEN": "token",
            "AWS_REGION": "mars-north-1",
            "AWS_DEFAULT_REGION": "mars-north-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
            "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_DEFAULTS_MODE": "auto",
            "AWS_CA_BUNDLE": "/nowhere",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        }
        for name, value in foreign.items():
            monkeypatch.setenv(name, value)
        outcome = await deliverer.deliver(delivery)
        for name in foreign:
            monkeypatch.delenv(name)
        assert isinstance(outcome, Delivered)
        assert len(await counterpart.received()) == 1


class TestSqsOfMinistack(SqsContract):
    @pytest.fixture
    async def counterpart(self, ministack: Ministack) -> AsyncIterator[SqsCounterpart]:
        # Of AWS the first is enough: its policies know no action of the second's name.
        async with a_queue(ministack, ministack.create_user("sqs:SendMessage", "sqs:SendMessageBatch")) as found:
            yield found

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"aws_access_key_id": WRONG_KEYS[0]}, "access key is not valid"),
            (
                {"aws_secret_access_key": WRONG_KEYS[1]},
                "secret access key is not valid (its signature does not match)",
            ),
        ],
    )
    async def test_keys_that_are_not_valid_are_said_to_be_without_being_shown(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, wrong: Mapping[str, str], words: str
    ) -> None:
        outcome = await deliverer.deliver(a_delivery(AwsSqsDeliverer, {**counterpart.configuration, **wrong}))
        assert isinstance(outcome, Refused)
        assert outcome.reason == words
        assert outcome.status == 403
        for secret in (*counterpart.secrets, *WRONG_KEYS):
            assert secret not in repr(outcome)

    async def test_what_a_user_may_not_do_is_named(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, ministack: Ministack
    ) -> None:
        key_id, secret = ministack.create_user("sqs:ReceiveMessage")
        configuration = {**counterpart.configuration, "aws_access_key_id": key_id, "aws_secret_access_key": secret}
        outcome = await deliverer.deliver(a_delivery(AwsSqsDeliverer, configuration))
        assert isinstance(outcome, Refused)
        assert outcome.reason == "access denied: sqs:SendMessageBatch"

    async def test_the_queues_own_limit_is_reported_for_the_one_message_that_is_over_it(
        self, deliverer: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        attributes = {"MaximumMessageSize": str(2 * KIB)}
        counterpart.emulator.client("sqs").set_queue_attributes(QueueUrl=counterpart.queue_url, Attributes=attributes)
        deliveries = many(delivery, 5)
        data = json.dumps({"type": "order", "id": "o", "text": "x" * 3 * KIB}).encode()
        deliveries[2] = replace(deliveries[2], data=data)
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in deliveries))
        assert [type(each) for each in outcomes] == [Delivered, Delivered, Refused, Delivered, Delivered]
        assert isinstance(outcomes[2], Refused)
        assert outcomes[2].reason == "message is over the queue's own limit of 2,048 bytes"
        assert counterpart.tap.asked == 1

    async def test_an_emulator_that_comes_back_is_delivered_to(
        self, hurried: AwsSqsDeliverer, counterpart: SqsCounterpart, delivery: Delivery
    ) -> None:
        # The first deliveries read botocore's model of SQS.
        while not isinstance(await hurried.deliver(delivery), Delivered):
            pass
        counterpart.fall_silent()
        outcomes = await asyncio.gather(*(hurried.deliver(one) for one in many(delivery, 25)))
        assert {type(each) for each in outcomes} == {Unreachable}
        counterpart.emulator.thaw()
        # One that has just come back may be slow, and this deliverer's patience is short.
        again = [await hurried.deliver(replace(delivery, attempt=attempt)) for attempt in range(2, 8)]
        assert isinstance(again[-1], Delivered)


class TestSqsOfMoto(SqsContract):
    @pytest.fixture
    async def counterpart(self, moto: Moto) -> AsyncIterator[SqsCounterpart]:
        async with a_queue(moto, ("AKIAQYLPMN5HHHFPMOTO", "s3cr3t/moto+key/bPxRfiCYEXAMPLEKEY0000")) as found:
            yield found
