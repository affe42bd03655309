"""SQS with a role that the worker assumes: the STS of both emulators, and a server of STS's protocol of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from deliverers.aws_sqs import AwsSqsDeliverer
from deliverers.contract import Delivered, DelivererOptions, Delivery, Outcome, Refused, Unreachable
from deliverers.egress import EgressPolicy
from deliverers.exchange import ExchangePolicy
from deliverers.testing import LOOPBACK, a_delivery
from tests.contract.sqs import a_queue
from tests.counterparts.emulator import REGION
from tests.counterparts.ministack import Ministack
from tests.counterparts.moto import Moto

ROLE = "arn:aws:iam::123456789012:role/events"
SECRET = "planted/secret+of+the+role"
TOKEN = "planted-token-of-the-role"


@asynccontextmanager
async def deliverer_of(sts: str, **changes: Any) -> AsyncIterator[AwsSqsDeliverer]:
    options = DelivererOptions(
        egress=LOOPBACK, aws_credentials=True, sts_endpoint=sts, keep_exchange=ExchangePolicy.ALL
    )
    deliverer = AwsSqsDeliverer(replace(options, **changes))
    await deliverer.open()
    yield deliverer
    await deliverer.close()


def use_keys(monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str]) -> None:
    """The deployment's own credentials, where AWS's SDKs look for them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])


def delivery(url: str, role: str = ROLE, **changes: Any) -> Delivery:
    made = a_delivery(AwsSqsDeliverer, {"url": url, "role_arn": role, "region": REGION})
    return replace(made, **changes)


async def test_a_role_that_trusts_the_stores_id_sends_to_its_queue(
    ministack: Ministack, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_keys(monkeypatch, ministack.create_user("sts:AssumeRole"))
    role = ministack.create_role({"StringEquals": {"sts:ExternalId": "store-1"}}, "sqs:SendMessageBatch")
    async with a_queue(ministack, ("none", "none")) as queue, deliverer_of(ministack.url) as deliverer:
        outcome = await deliverer.deliver(delivery(queue.configuration["url"], role))
        assert isinstance(outcome, Delivered), outcome
        assert [each["id"] for each in await queue.received()] == ["evt-1"]
        other = await deliverer.deliver(delivery(queue.configuration["url"], role, store_id="store-2"))
        assert isinstance(other, Unreachable), other
        assert "allow the ExternalId store-2" in other.reason


async def test_moto_assumes_a_role_too(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    use_keys(monkeypatch, moto.root_keys)
    async with a_queue(moto, ("none", "none")) as queue, deliverer_of(moto.url) as deliverer:
        outcome = await deliverer.deliver(delivery(queue.configuration["url"]))
        assert isinstance(outcome, Delivered), outcome
        assert len(await queue.received()) == 1


async def test_keys_of_the_deployment_that_are_wrong_are_explained(
    ministack: Ministack, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_keys(monkeypatch, ("AKIAWRONGWRONGWRONG0", "wrong"))
    async with deliverer_of(ministack.url) as deliverer:
        outcome = await deliverer.deliver(delivery(f"{ministack.url}/000000000000/orders"))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == f"no credentials of {ROLE} (STS): this deployment's own AWS credentials are not valid"


class AwsServer:
    """STS and SQS: what STS was asked, and the token of each message."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.refusal: tuple[int, str] | None = None
        self.expired: set[str] = set()

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.queue = f"{self.url}/123456789012/orders"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if "X-Amz-Target" in request.headers:
            return await self._sqs(request)
        self.asked.append({name: values[0] for name, values in parse_qs(await request.text()).items()})
        if self.refusal is not None:
            status, code = self.refusal
            text = f"<ErrorResponse><Error><Code>{code}</Code><Message>{SECRET}</Message></Error></ErrorResponse>"
            return web.Response(status=status, text=text, content_type="text/xml")
        credentials = (
            f"<AccessKeyId>ASIAPLANTED{len(self.asked)}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
            f"<SessionToken>{TOKEN}-{len(self.asked)}</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration>"
        )
        text = (
            "<AssumeRoleResponse><AssumeRoleResult><Credentials>"
            f"{credentials}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )
        return web.Response(text=text, content_type="text/xml")

    async def _sqs(self, request: web.Request) -> web.Response:
        token = request.headers.get("X-Amz-Security-Token", "")
        self.tokens.append(token)
        if token in self.expired:
            text = f"{token} of {SECRET} has expired"
            return web.json_response({"__type": "ExpiredToken", "message": text}, status=403)
        sent = [{"Id": each["Id"], "MessageId": "m"} for each in (await request.json())["Entries"]]
        return web.json_response({"Successful": sent, "Failed": []})


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsServer]:
    use_keys(monkeypatch, ("AKIADEPLOYMENT", "secret-of-the-deployment"))
    server = AwsServer()
    await server.start()
    yield server
    await server.stop()


def shows_no_secret(outcome: Outcome) -> None:
    shown = repr((outcome, getattr(outcome, "exchange", None)))
    assert not [each for each in (SECRET, TOKEN, "ASIAPLANTED", "secret-of-the-deployment") if each in shown]


async def test_a_role_is_assumed_once_for_many_with_the_stores_id_and_no_tenant_shares_it(aws: AwsServer) -> None:
    async with deliverer_of(aws.url) as deliverer:
        many = [deliverer.deliver(delivery(aws.queue)) for _ in range(20)]
        outcomes = await asyncio.gather(*many)
        outcomes.append(await deliverer.deliver(delivery(aws.queue, store_id="store-2")))
        outcomes.append(await deliverer.deliver(delivery(aws.queue, store_id=None)))
        outcomes.append(await deliverer.deliver(delivery(aws.queue, store_id=None, org_id=None)))
    assert all(isinstance(each, Delivered) for each in outcomes)
    assert [each["ExternalId"] for each in aws.asked] == ["store-1", "store-2", "organization:org-1", "single-store"]
    assert {each["RoleArn"] for each in aws.asked} == {ROLE}
    assert aws.asked[0]["RoleSessionName"] == "edw-store-1"
    assert set(aws.tokens) == {f"{TOKEN}-{number}" for number in (1, 2, 3, 4)}
    for outcome in outcomes:
        shows_no_secret(outcome)


async def test_credentials_that_sqs_refuses_are_fetched_anew_by_the_next_attempt(aws: AwsServer) -> None:
    async with deliverer_of(aws.url) as deliverer:
        await deliverer.deliver(delivery(aws.queue))
        aws.expired.add(f"{TOKEN}-1")
        refused = await deliverer.deliver(delivery(aws.queue))
        assert isinstance(refused, Refused)
        assert refused.reason == "access key has expired"
        shows_no_secret(refused)
        assert isinstance(await deliverer.deliver(delivery(aws.queue)), Delivered)
    assert len(aws.asked) == 2


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (
            (403, "AccessDenied"),
            "access denied: the role's trust policy must name this deployment's principal"
            " and allow the ExternalId store-1",
        ),
        ((403, "ExpiredToken"), "this deployment's own AWS credentials have expired"),
        ((400, "ValidationError"), "STS does not take it as the ARN of a role"),
        ((500, "Odd\x07Code"), "or the answer, cannot be used (ResponseParserError)"),
        ((400, "OddCode"), "STS refused (OddCode)"),
    ],
)
async def test_a_role_that_cannot_be_assumed_is_explained_in_words(
    aws: AwsServer, refusal: tuple[int, str], words: str
) -> None:
    aws.refusal = refusal
    async with deliverer_of(aws.url) as deliverer:
        outcome = await deliverer.deliver(delivery(aws.queue))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith(f"no credentials of {ROLE} (STS): ")
    assert outcome.reason.endswith(words)
    assert aws.tokens == []
    shows_no_secret(outcome)


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({"aws_credentials": False}, {}, "this deployment assumes no roles (EDW_AWS_CREDENTIALS)"),
        ({}, {"store_id": "a b"}, "the store's id cannot be an ExternalId"),
        ({"egress": EgressPolicy()}, {}, "address not allowed: STS"),
    ],
)
async def test_without_credentials_of_its_own_nothing_is_sent(
    aws: AwsServer, options: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    async with deliverer_of(aws.url, **options) as deliverer:
        outcome = await deliverer.deliver(delivery(aws.queue, **changes))
    assert isinstance(outcome, Unreachable)
    assert words in outcome.reason
    assert (aws.asked, aws.tokens) == ([], [])


async def test_a_machine_without_credentials_is_explained(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    async with deliverer_of(aws.url) as deliverer:
        outcome = await deliverer.deliver(delivery(aws.queue))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.endswith("this deployment has no AWS credentials of its own")
