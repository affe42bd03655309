"""What makes a webhook safe to point at the internet: signatures, limits of where it may go, and a proxy."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from deliverers.contract import Delivered, DelivererOptions, Outcome, Refused, Unreachable
from deliverers.egress import EgressPolicy
from deliverers.testing import LOOPBACK, a_delivery
from deliverers.webhook import WebhookDeliverer
from tests.contract.web_receiver import WebReceiver
from tests.counterparts.proxy import HttpProxy

OLD = "whsec_" + b64encode(bytes(range(24))).decode()
NEW = "whsec_" + b64encode(bytes(range(32))).decode()


@pytest.fixture
async def receiver() -> AsyncIterator[WebReceiver]:
    found = WebReceiver()
    await found.start()
    yield found
    await found.stop()


async def deliver(configuration: Any, **options: Any) -> Outcome:
    deliverer = WebhookDeliverer(DelivererOptions(**({"egress": LOOPBACK} | options)))
    await deliverer.open()
    try:
        return await deliverer.deliver(a_delivery(WebhookDeliverer, configuration))
    finally:
        await deliverer.close()


async def test_receivers_verify_the_signature_with_either_key_of_a_rotation(receiver: WebReceiver) -> None:
    configuration = {**receiver.configuration, "signing_keys": [NEW, OLD]}
    assert isinstance(await deliver(configuration), Delivered)
    ((headers, body),) = receiver.requests
    for key in (NEW, OLD):
        lowered = {name.lower(): value for name, value in headers.items()}
        assert Webhook(key).verify(body, lowered) == json.loads(body)
    assert len(headers["webhook-signature"].split(" ")) == 2


async def test_no_signing_key_leaves_the_worker_and_the_secret_key_signs_nothing(receiver: WebReceiver) -> None:
    await deliver({**receiver.configuration, "signing_keys": [NEW]})
    await deliver(receiver.configuration)
    signed, unsigned = receiver.requests
    assert NEW.removeprefix("whsec_") not in str(signed)
    assert "webhook-signature" in signed[0]
    assert "webhook-signature" not in unsigned[0]


async def test_a_scheme_that_is_not_allowed_is_not_used(receiver: WebReceiver) -> None:
    egress = EgressPolicy(LOOPBACK.allow, schemes=frozenset({"https"}))
    assert await deliver(receiver.configuration, egress=egress) == Unreachable("scheme not allowed: http (only https)")
    assert receiver.requests == []


async def test_a_port_that_is_not_allowed_is_not_reached(receiver: WebReceiver) -> None:
    outcome = await deliver(receiver.configuration, egress=EgressPolicy(LOOPBACK.allow, ports=(range(443, 444),)))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith("address not allowed: 127.0.0.1 (port ")
    assert receiver.requests == []


async def test_a_proxy_is_gone_through_with_its_password(receiver: WebReceiver) -> None:
    async with HttpProxy(password="s3cret") as proxy:
        outcome = await deliver(receiver.configuration, proxy=proxy.url)
    assert isinstance(outcome, Delivered)
    assert proxy.asked == [receiver.configuration["url"]]
    assert "Proxy-Authorization" not in receiver.requests[0][0]


async def test_tls_goes_through_a_proxy_to_the_receiver_itself(tmp_path: Path) -> None:
    authority = trustme.CA()
    receiver = WebReceiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    await receiver.start(context, host="localhost")
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    async with HttpProxy() as proxy:
        outcome = await deliver(receiver.configuration, proxy=proxy.url, tls_ca_file=str(file))
        proxy.refuse = True
        refused = await deliver(receiver.configuration, proxy=proxy.url, tls_ca_file=str(file))
    await receiver.stop()
    assert isinstance(outcome, Delivered)
    assert all(target.startswith("localhost:") for target in proxy.asked)
    assert isinstance(refused, Unreachable)
    assert refused.reason.startswith("the egress proxy refused to connect to localhost:")
    assert refused.reason.endswith("(status 403)")


async def test_a_proxy_is_not_asked_for_what_can_be_judged_here(receiver: WebReceiver) -> None:
    async with HttpProxy() as proxy:
        outcome = await deliver(receiver.configuration, proxy=proxy.url, egress=EgressPolicy())
    assert outcome == Unreachable("address not allowed: 127.0.0.1 (loopback)")
    assert proxy.asked == []


async def test_a_proxy_that_is_away_is_said_without_its_address(receiver: WebReceiver) -> None:
    async with HttpProxy(password="s3cret") as proxy:
        url = proxy.url
    outcome = await deliver(receiver.configuration, proxy=url)
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == "the egress proxy cannot be reached"
    assert outcome.detail == "127.0.0.1: Connection refused", "the operator sees where"
    assert "s3cret" not in str(outcome)


async def test_a_proxy_that_wants_another_password_is_an_outcome(receiver: WebReceiver) -> None:
    async with HttpProxy(password="s3cret") as proxy:
        outcome = await deliver(receiver.configuration, proxy=proxy.url.replace("s3cret", "guess"))
    assert isinstance(outcome, Refused)
    assert outcome.status == 407
