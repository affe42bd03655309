"""The HTTP sender against the servers that most receivers run: nginx, Apache and Node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from deliverers.contract import Delivered, DelivererOptions, Refused
from deliverers.http import HttpAnswer, HttpSender
from deliverers.testing import LOOPBACK, a_delivery
from deliverers.webhook import WebhookDeliverer
from tests.counterparts.server import started
from tests.counterparts.web_servers import Apache, Nginx, Node, WebServer
from tests.waiting import PATIENCE


@pytest.fixture(scope="module", params=[Nginx, Apache, Node], ids=lambda kind: str(kind.name))
def server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    yield from started(request.param)


@pytest.fixture
async def dials() -> list[int]:
    return []


@pytest.fixture
async def sender(dials: list[int]) -> AsyncIterator[HttpSender]:
    options = DelivererOptions(egress=LOOPBACK, timeout=PATIENCE, dialled=lambda: dials.append(1))
    opened = HttpSender(options)
    await opened.open()
    yield opened
    await opened.close()


async def test_connections_are_used_again_until_the_server_closes_them(
    server: WebServer, sender: HttpSender, dials: list[int]
) -> None:
    answers = [await sender.send("POST", f"{server.url}/echo", b"{}", tenant="a") for _ in range(9)]
    assert [each.status for each in answers if isinstance(each, HttpAnswer)] == [200] * 9
    assert all(isinstance(each, HttpAnswer) and each.is_success and each.body == b"ok" for each in answers)
    # An event loop that is late may meet a connection that was closed in the meantime, and dials anew.
    assert 3 <= len(dials) < 9


async def test_the_target_arrives_byte_for_byte(server: WebServer, sender: HttpSender) -> None:
    for target in ("/echo?sp=%2Ftriggers&sig=a%3D%3d+b", "/echo/%7euser;v=1,2", "/echo?"):
        answer = await sender.send("POST", server.url + target, b"{}", tenant="a")
        assert isinstance(answer, HttpAnswer)
        assert answer.header("x-request") == f"POST {target} HTTP/1.1"


async def test_a_body_that_is_too_large_is_refused_with_its_status(server: WebServer, sender: HttpSender) -> None:
    for size in (70 * 1024, 4 * 1024 * 1024):
        answer = await sender.send("POST", f"{server.url}/echo", b"x" * size, tenant="a")
        assert isinstance(answer, HttpAnswer), answer
        assert (answer.status, answer.is_success) == (413, False)


async def test_many_webhooks_at_once_all_arrive_and_a_pause_is_kept(server: WebServer) -> None:
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK, timeout=PATIENCE))
    await deliverer.open()
    try:
        echo = a_delivery(WebhookDeliverer, {"url": f"{server.url}/echo", "secret_key": "a-planted-secret"})
        outcomes = await asyncio.gather(*(deliverer.deliver(echo) for _ in range(100)))
        later = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"{server.url}/later"}))
    finally:
        await deliverer.close()
    assert outcomes == [Delivered(200, "ok")] * 100
    assert isinstance(later, Refused)
    assert (later.status, later.retry_after) == (503, 60.0)
