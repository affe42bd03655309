"""Webhooks with access tokens of OAuth 2.0: a real token server, and a receiver that takes only its tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from deliverers.contract import Delivered, DelivererOptions, Delivery, Outcome, Refused, Unreachable
from deliverers.egress import EgressPolicy
from deliverers.exchange import ExchangePolicy
from deliverers.testing import LOOPBACK, a_delivery
from deliverers.webhook import WebhookDeliverer
from tests.contract.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer


@pytest.fixture
async def server() -> AsyncIterator[OAuthServer]:
    server = OAuthServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def deliverer() -> AsyncIterator[WebhookDeliverer]:
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK, keep_exchange=ExchangePolicy.ALL))
    await deliverer.open()
    yield deliverer
    await deliverer.close()


def delivery(server: OAuthServer, **changes: Any) -> Delivery:
    return a_delivery(WebhookDeliverer, server.configuration | changes)


def shows_no_secret(outcome: Outcome) -> None:
    shown = repr((outcome, getattr(outcome, "exchange", None)))
    assert not [secret for secret in ("planted-token", CLIENT_SECRET, "planted-client") if secret in shown]


async def test_a_token_is_fetched_once_for_many_at_once_and_used_for_its_life(
    server: OAuthServer, deliverer: WebhookDeliverer
) -> None:
    outcomes = await asyncio.gather(*(deliverer.deliver(delivery(server)) for _ in range(20)))
    outcomes.append(await deliverer.deliver(delivery(server, oauth_scope=None)))
    assert all(isinstance(each, Delivered) for each in outcomes)
    assert len(server.asked) == 1
    assert server.asked[0]["grant_type"] == "client_credentials"
    assert server.shown == ["Bearer planted-token-1"] * 21
    for outcome in outcomes:
        # The receiver repeats the token in its answer.
        shows_no_secret(outcome)
        assert isinstance(outcome, Delivered)
        assert outcome.exchange is not None
        assert outcome.exchange.request is not None
        assert dict(outcome.exchange.request.headers)["Authorization"] == "********"


async def test_scope_audience_and_the_method_of_authentication_are_the_integrations(
    server: OAuthServer, deliverer: WebhookDeliverer
) -> None:
    changes = {"oauth_scope": "events.write hooks", "oauth_audience": "https://erp.example"}
    for method in ("client_secret_basic", "client_secret_post"):
        outcome = await deliverer.deliver(delivery(server, oauth_auth_method=method, **changes))
        assert isinstance(outcome, Delivered)
    basic, post = server.asked
    assert basic.pop("by") == "basic"
    assert "by" not in post
    common = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert basic == post == common | {"scope": "events.write hooks", "audience": "https://erp.example"}


@pytest.mark.parametrize("expires_in", [0, "0", -5])
async def test_a_token_that_has_run_out_is_fetched_anew(
    server: OAuthServer, deliverer: WebhookDeliverer, expires_in: Any
) -> None:
    server.expires_in = expires_in
    for _ in range(2):
        assert isinstance(await deliverer.deliver(delivery(server)), Delivered)
    assert server.shown == ["Bearer planted-token-1", "Bearer planted-token-2"]


async def test_tenants_share_no_token_even_with_the_same_credentials(
    server: OAuthServer, deliverer: WebhookDeliverer
) -> None:
    for store in ("store-1", "store-2", "store-1"):
        await deliverer.deliver(replace(delivery(server), store_id=store))
    assert server.shown == [f"Bearer planted-token-{number}" for number in (1, 2, 1)]


async def test_a_401_fetches_the_token_anew_once_and_then_is_the_outcome(
    server: OAuthServer, deliverer: WebhookDeliverer
) -> None:
    await deliverer.deliver(delivery(server))
    server.revoked = {"Bearer planted-token-1"}
    outcomes = await asyncio.gather(*(deliverer.deliver(delivery(server)) for _ in range(5)))
    assert all(isinstance(each, Delivered) for each in outcomes)
    assert len(server.asked) == 2, "all of them got the same new token"
    server.revoked = {f"Bearer planted-token-{number}" for number in range(10)}
    refused = await deliverer.deliver(delivery(server))
    assert isinstance(refused, Refused)
    assert refused.status == 401
    assert refused.reason.endswith("the receiver refused a new access token too")
    assert len(server.asked) == 3
    shows_no_secret(refused)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (400, {"error": "invalid_scope"}),
            "the scope is not valid, or not for this client (400 Bad Request, invalid_scope)",
        ),
        ((503, "<html>"), "it refused the request (503 Service Unavailable)"),
        ((302, ""), "it refused the request (302 Found)"),
        ((200, "<html>"), "answered 200 OK without the JSON of an access token"),
        ((200, {"token": "x"}), "answered 200 OK without an access_token that fits a header"),
        ((200, {"access_token": "planted-token\r\nX-Evil: 1"}), "without an access_token that fits a header"),
        ((200, {"access_token": "planted-token-1", "token_type": "mac"}), "the token_type 'mac'"),
    ],
)
async def test_a_token_server_that_gives_none_is_explained_in_words(
    server: OAuthServer, deliverer: WebhookDeliverer, answer: tuple[int, Any], words: str
) -> None:
    server.answer = answer
    outcome = await deliverer.deliver(delivery(server))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith(f"no access token from {server.endpoint} (OAuth): ")
    assert words in outcome.reason
    assert server.shown == []
    server.answer = None
    assert isinstance(await deliverer.deliver(delivery(server)), Delivered), "a failure is not kept"


async def test_a_wrong_client_is_explained_without_what_the_server_repeats_of_the_secret(
    server: OAuthServer, deliverer: WebhookDeliverer
) -> None:
    server.answer = (401, {"error": "invalid_client", "error_description": f"no client {CLIENT_ID}: {CLIENT_SECRET}"})
    outcome = await deliverer.deliver(delivery(server))
    assert isinstance(outcome, Unreachable)
    assert "the client id or secret is not valid (401 Unauthorized, invalid_client: no client" in outcome.reason
    shows_no_secret(outcome)


async def test_a_slow_token_server_costs_an_attempt_its_own_time_and_the_next_one_finds_the_token(
    server: OAuthServer, deliverer: WebhookDeliverer
) -> None:
    server.may_answer.clear()
    late = await deliverer.deliver(replace(delivery(server), timeout=0.2))
    assert isinstance(late, Unreachable)
    assert "no answer within 0.2 s" in late.reason
    waiting = asyncio.create_task(deliverer.deliver(delivery(server)))
    server.may_answer.set()
    assert isinstance(await waiting, Delivered)
    assert len(server.asked) == 1


async def test_the_token_server_is_behind_the_egress_guard(server: OAuthServer) -> None:
    deliverer = WebhookDeliverer(DelivererOptions(egress=EgressPolicy()))
    await deliverer.open()
    outcome = await deliverer.deliver(delivery(server, url="https://shop.example/hook"))
    await deliverer.close()
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith(f"no access token from {server.endpoint} (OAuth): address not allowed")
    assert server.asked == []


async def test_closing_ends_a_request_for_a_token(server: OAuthServer) -> None:
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK))
    await deliverer.open()
    server.may_answer.clear()
    waiting = asyncio.create_task(deliverer.deliver(delivery(server)))
    await server.is_asked.wait()
    await deliverer.close()
    outcome = await waiting
    assert isinstance(outcome, Unreachable)
    assert "this worker was closing" in outcome.reason
