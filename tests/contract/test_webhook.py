from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from deliverers.contract import Delivered, Delivery, Gone, Refused
from deliverers.exchange import ExchangePolicy
from deliverers.http import USER_AGENT
from deliverers.testing import TRACE, DelivererContract, a_delivery
from deliverers.webhook import WebhookDeliverer
from deliverers.webhook.webhook_headers import basic_credentials
from tests.contract.web_receiver import PLANTED, WebReceiver


class TestWebhookOverHttp(DelivererContract):
    deliverer_class = WebhookDeliverer

    @pytest.fixture
    async def counterpart(self) -> AsyncIterator[WebReceiver]:
        receiver = WebReceiver()
        await receiver.start()
        yield receiver
        await receiver.stop()

    async def test_the_request_is_what_the_specification_says(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver
    ) -> None:
        delivery = a_delivery(WebhookDeliverer, counterpart.configuration)
        await deliverer.deliver(delivery)
        ((headers, body),) = counterpart.requests
        assert headers["Content-Type"] == "application/json"
        assert headers["X-MOLTIN-SECRET-KEY"] == PLANTED
        assert headers["X-MOLTIN-INTEGRATION-TRIGGER"] == delivery.triggered_by == json.loads(body)["triggered_by"]
        assert headers["webhook-id"] == delivery.job_id
        assert headers["webhook-timestamp"].isdecimal()
        assert headers["User-Agent"] == USER_AGENT
        assert headers["Accept-Encoding"] == "identity"
        assert b'"total":10.00' in body
        assert PLANTED.encode() not in body

    async def test_the_trace_is_sent_in_headers_and_changes_nothing_else(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver, delivery: Delivery
    ) -> None:
        await deliverer.deliver(replace(delivery, trace=TRACE))
        await deliverer.deliver(delivery)
        (traced, body), (untraced, same) = counterpart.requests
        assert {name: traced[name] for name in TRACE} == TRACE
        assert set(traced) - set(untraced) == set(TRACE)
        assert body == same

    async def test_an_integration_without_a_secret_sends_no_secret_header(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver
    ) -> None:
        await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": counterpart.configuration["url"]}))
        assert "X-MOLTIN-SECRET-KEY" not in counterpart.requests[0][0]

    @pytest.mark.parametrize("kind", ["catalog-release.created", "wishlist_ext.deleted", "integrations.updated"])
    async def test_the_observable_key_is_a_header(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver, delivery: Delivery, kind: str
    ) -> None:
        await deliverer.deliver(replace(delivery, triggered_by=kind))
        assert counterpart.requests[0][0]["X-MOLTIN-INTEGRATION-TRIGGER"] == kind

    @pytest.mark.parametrize("secret", [PLANTED, None])
    async def test_a_deployment_may_have_the_secret_in_the_body_which_is_what_is_signed(
        self, counterpart: WebReceiver, secret: str | None
    ) -> None:
        key = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
        configuration = {"url": counterpart.configuration["url"], "secret_key": secret, "signing_keys": [key]}
        deliverer = WebhookDeliverer(self.options(counterpart, secret_in_body=True))
        await deliverer.open()
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, configuration))
        await deliverer.close()
        ((headers, body),) = counterpart.requests
        assert json.loads(body)["configuration"] == {"url": configuration["url"], "secret_key": secret or ""}
        Webhook(key).verify(body, dict(headers))
        assert isinstance(outcome, Delivered)
        assert PLANTED not in outcome.body

    async def test_a_connection_is_used_again(self, deliverer: WebhookDeliverer, counterpart: WebReceiver) -> None:
        for attempt in range(1, 6):
            await deliverer.deliver(a_delivery(WebhookDeliverer, counterpart.configuration, attempt=attempt))
        assert len(counterpart.requests) == 5
        assert len(counterpart.connections) == 1

    async def test_a_secret_that_the_receiver_echoes_does_not_reach_the_log(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver
    ) -> None:
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, counterpart.configuration))
        assert isinstance(outcome, Delivered)
        assert PLANTED not in outcome.body
        assert '"X-MOLTIN-SECRET-KEY": "********"' in outcome.body

    async def test_a_failure_keeps_the_request_as_it_was_sent_and_the_answer_without_the_secret(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver, delivery: Delivery
    ) -> None:
        counterpart.status = 418
        outcome = await deliverer.deliver(delivery)
        assert isinstance(outcome, Refused)
        record = outcome.exchange
        assert record is not None
        assert record.request is not None
        assert record.answer is not None
        ((headers, body),) = counterpart.requests
        sent = dict(record.request.headers)
        assert sent == {**headers, "X-MOLTIN-SECRET-KEY": "********"}
        path, _, query = counterpart.configuration["url"].partition("?")
        assert (record.request.method, record.request.url) == ("POST", f"{path}?********")
        assert query not in repr(record)
        assert record.request.body_bytes == len(body)
        assert record.answer.status_line.split()[1] == "418"
        assert dict(record.answer.headers)["Content-Type"] == "application/json; charset=utf-8"
        times = record.times
        assert (times.tls is None) is not counterpart.configuration["url"].startswith("https")
        assert None not in (times.dns, times.connect, times.first_byte)

    @pytest.mark.parametrize(
        ("given", "sent", "named"),
        [
            ({"bearer_token": PLANTED}, {"Authorization": f"Bearer {PLANTED}"}, "configuration.bearer_token"),
            (
                {"basic_username": "shop", "basic_password": PLANTED},
                {"Authorization": basic_credentials("shop", PLANTED)},
                "configuration.basic_username with its password",
            ),
            (
                {"headers": {"X-Api-Key": PLANTED, "X-Env": "ok"}},
                {"X-Api-Key": PLANTED, "X-Env": "ok"},
                "configuration.headers (X-Api-Key, X-Env)",
            ),
        ],
    )
    async def test_authentication_reaches_the_receiver_and_the_log_shows_the_names_alone(
        self,
        deliverer: WebhookDeliverer,
        counterpart: WebReceiver,
        given: dict[str, Any],
        sent: dict[str, str],
        named: str,
    ) -> None:
        counterpart.status = 401
        configuration = {"url": counterpart.configuration["url"], **given}
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, configuration))
        ((headers, _),) = counterpart.requests
        assert {name: headers[name] for name in sent} == sent
        assert isinstance(outcome, Refused)
        assert outcome.reason.endswith(f"(401 Unauthorized) - treating webhook as a fail: the receiver refused {named}")
        assert outcome.exchange is not None
        assert outcome.exchange.request is not None
        shown = dict(outcome.exchange.request.headers)
        assert {name: shown[name] for name in sent} == dict.fromkeys(sent, "********")
        # The receiver repeats the headers in its answer.
        text = repr((outcome, outcome.exchange))
        assert not [value for value in (PLANTED, sent.get("Authorization", PLANTED)) if value in text]

    async def test_a_success_keeps_its_times_only_and_a_connection_that_was_open_needs_none_of_dialling(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver, delivery: Delivery
    ) -> None:
        first, second = [await deliverer.deliver(delivery) for _ in range(2)]
        assert isinstance(first, Delivered)
        assert isinstance(second, Delivered)
        for outcome in (first, second):
            assert outcome.exchange is not None
            assert (outcome.exchange.request, outcome.exchange.answer) == (None, None)
            assert outcome.exchange.times.first_byte is not None
        assert first.exchange is not None
        assert second.exchange is not None
        assert first.exchange.times.connect is not None
        assert (second.exchange.times.dns, second.exchange.times.connect, second.exchange.times.tls) == (None,) * 3

    @pytest.mark.parametrize("policy", [ExchangePolicy.ALL, ExchangePolicy.NONE])
    async def test_the_policy_says_whose_request_is_kept(
        self, counterpart: WebReceiver, policy: ExchangePolicy
    ) -> None:
        deliverer = WebhookDeliverer(self.options(counterpart, keep_exchange=policy))
        await deliverer.open()
        delivered = await deliverer.deliver(a_delivery(WebhookDeliverer, counterpart.configuration))
        counterpart.status = 500
        refused = await deliverer.deliver(a_delivery(WebhookDeliverer, counterpart.configuration))
        await deliverer.close()
        assert isinstance(delivered, Delivered)
        assert isinstance(refused, Refused)
        for outcome in (delivered, refused):
            assert outcome.exchange is not None
            assert (outcome.exchange.request is not None) is (policy is ExchangePolicy.ALL)

    async def test_an_event_over_a_mebibyte_is_sent_without_a_warning(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver
    ) -> None:
        data = json.dumps({"type": "file", "id": "f", "text": "x" * 900_000}).encode()
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, counterpart.configuration, data=data))
        # aiohttp.web takes a mebibyte by default; the answer is the point.
        assert isinstance(outcome, Refused)
        assert outcome.status == 413

    async def test_a_410_says_that_the_receiver_is_gone(
        self, deliverer: WebhookDeliverer, counterpart: WebReceiver
    ) -> None:
        counterpart.status = 410
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, counterpart.configuration))
        assert isinstance(outcome, Gone)
        assert (outcome.status, "410 Gone" in outcome.reason) == (410, True)


class TestWebhookOverHttps(TestWebhookOverHttp):
    @pytest.fixture
    async def counterpart(self, tmp_path: Path) -> AsyncIterator[WebReceiver]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        receiver = WebReceiver()
        receiver.tls_ca_file = str(tmp_path / "ca.pem")
        await receiver.start(context, host="localhost")
        yield receiver
        await receiver.stop()
