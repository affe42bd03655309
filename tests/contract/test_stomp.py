"""STOMP against the brokers that our users have, read back by a client that is not ours."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from deliverers.contract import Delivered, Delivery, Refused, Unreachable
from deliverers.stomp import StompDeliverer
from deliverers.testing import TRACE, DelivererContract, a_delivery, shows_no_secret
from tests.counterparts.activemq import ActiveServer
from tests.counterparts.ports import free_port
from tests.counterparts.server import require
from tests.counterparts.stomp import VHOST, Line, StompRabbit, read_all

from .receivers import raw_receiver, silent
from .stomp_brokers import ActiveCounterpart, BrokerCounterpart, RabbitCounterpart, delivery_to, opened


@pytest.fixture(scope="session")
def starting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Any]]]:
    """The brokers that this run's tests ask for, on their way up together."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    with ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor())
        servers: dict[str, ActiveServer | StompRabbit] = {}
        if "active_server" in wanted and not ActiveServer.missing():
            servers["active"] = ActiveServer()
        if "rabbit_server" in wanted and not StompRabbit.missing():
            servers["rabbit"] = StompRabbit(tmp_path_factory.mktemp("tls"))
        for server in servers.values():
            stack.callback(server.remove)
        yield {name: executor.submit(server.start) for name, server in servers.items()}


@pytest.fixture(scope="session")
def active_server(starting: dict[str, Future[Any]]) -> ActiveServer:
    require(ActiveServer)
    server: ActiveServer = starting["active"].result()
    return server


@pytest.fixture(scope="session")
def rabbit_server(starting: dict[str, Future[Any]]) -> StompRabbit:
    require(StompRabbit)
    server: StompRabbit = starting["rabbit"].result()
    return server


async def counterpart_of(
    kind: type[ActiveCounterpart] | type[RabbitCounterpart], server: Any, tls: bool
) -> AsyncIterator[Any]:
    line = await Line(server.tls if tls else server.plain).open()
    counterpart = kind(server, line, tls)
    yield counterpart
    await line.close()
    await counterpart.restore()


@pytest.fixture
async def active(active_server: ActiveServer) -> AsyncIterator[ActiveCounterpart]:
    async for counterpart in counterpart_of(ActiveCounterpart, active_server, tls=False):
        yield counterpart


@pytest.fixture
async def active_tls(active_server: ActiveServer) -> AsyncIterator[ActiveCounterpart]:
    async for counterpart in counterpart_of(ActiveCounterpart, active_server, tls=True):
        yield counterpart


@pytest.fixture
async def rabbit(rabbit_server: StompRabbit) -> AsyncIterator[RabbitCounterpart]:
    async for counterpart in counterpart_of(RabbitCounterpart, rabbit_server, tls=False):
        yield counterpart


@pytest.fixture
async def rabbit_tls(rabbit_server: StompRabbit) -> AsyncIterator[RabbitCounterpart]:
    async for counterpart in counterpart_of(RabbitCounterpart, rabbit_server, tls=True):
        yield counterpart


class StompContract(DelivererContract):
    deliverer_class = StompDeliverer

    async def test_the_message_is_a_cloud_event_that_describes_itself(
        self, deliverer: StompDeliverer, counterpart: BrokerCounterpart, delivery: Delivery
    ) -> None:
        assert await deliverer.deliver(delivery) == Delivered(None, "")
        (message,) = await counterpart.messages()
        assert message.headers["content-type"] == "application/cloudevents+json"
        assert message.headers["persistent"] == "true"
        assert message.headers["event_type"] == "order.paid"
        assert message.headers["event_id"] == delivery.event_id
        assert message.headers["job_id"] == delivery.job_id
        assert "traceparent" not in message.headers
        assert '"total":10.00' in message.body
        assert json.loads(message.body)["specversion"] == "1.0"
        assert counterpart.password not in message.body

    async def test_the_trace_is_sent_in_properties_and_in_the_cloudevent(
        self, deliverer: StompDeliverer, counterpart: BrokerCounterpart, delivery: Delivery
    ) -> None:
        assert isinstance(await deliverer.deliver(replace(delivery, trace=TRACE)), Delivered)
        (message,) = await counterpart.messages()
        assert {name: message.headers[name] for name in TRACE} == TRACE
        body = json.loads(message.body)
        assert {name: body[name] for name in TRACE} == TRACE

    async def test_one_connection_carries_everything(
        self, deliverer: StompDeliverer, counterpart: BrokerCounterpart, delivery: Delivery
    ) -> None:
        outcomes = await asyncio.gather(*(deliverer.deliver(replace(delivery, attempt=n)) for n in range(1, 21)))
        outcomes += [await deliverer.deliver(replace(delivery, attempt=n)) for n in range(21, 25)]
        assert set(outcomes) == {Delivered(None, "")}
        assert counterpart.line.accepted == 1
        assert len(await counterpart.received()) == 24

    async def test_a_lost_connection_is_opened_again(
        self, deliverer: StompDeliverer, counterpart: BrokerCounterpart, delivery: Delivery
    ) -> None:
        await deliverer.deliver(delivery)
        await counterpart.line.cut()
        # Whether the loss is noticed before or after the next message is sent is chance.
        outcomes = [await deliverer.deliver(replace(delivery, attempt=attempt)) for attempt in (2, 3)]
        assert outcomes[-1] == Delivered(None, "")
        assert counterpart.line.accepted == 2

    async def test_odd_characters_in_an_id_arrive_as_they_are(
        self, deliverer: StompDeliverer, counterpart: BrokerCounterpart, delivery: Delivery
    ) -> None:
        odd = "a:b\\c\r\nreceipt:9\n\nZoë\t"
        assert await deliverer.deliver(replace(delivery, event_id=odd)) == Delivered(None, "")
        (message,) = await counterpart.messages()
        assert json.loads(message.body)["id"] == odd
        assert message.headers["event_id"].strip() == odd.strip()

    async def test_a_mebibyte_arrives(
        self, deliverer: StompDeliverer, counterpart: BrokerCounterpart, delivery: Delivery
    ) -> None:
        data = json.dumps({"type": "file", "id": "f", "text": "x" * 1_000_000}).encode()
        assert await deliverer.deliver(replace(delivery, data=data)) == Delivered(None, "")
        (message,) = await counterpart.received()
        assert len(message["data"]["text"]) == 1_000_000

    async def test_messages_of_bytes_arrive(self, counterpart: BrokerCounterpart, delivery: Delivery) -> None:
        async with opened(tls_ca_file=counterpart.tls_ca_file, stomp_text=False) as deliverer:
            assert await deliverer.deliver(delivery) == Delivered(None, "")
        (message,) = await counterpart.messages()
        assert message.headers["content-length"] == str(len(message.body.encode()))

    async def test_a_wrong_password_is_a_refusal(
        self, deliverer: StompDeliverer, counterpart: BrokerCounterpart
    ) -> None:
        changed = {**counterpart.configuration, "password": "planted"}
        outcome = await deliverer.deliver(a_delivery(StompDeliverer, changed))
        assert isinstance(outcome, Refused)
        assert outcome.reason.startswith("the broker refused the login: ")
        assert "tester" in outcome.body
        assert "planted" not in repr(outcome)


class TestActiveMQ(StompContract):
    @pytest.fixture
    def counterpart(self, active: ActiveCounterpart) -> ActiveCounterpart:
        return active

    async def test_a_destination_that_is_not_permitted_is_refused_alone(
        self, deliverer: StompDeliverer, counterpart: ActiveCounterpart, delivery: Delivery
    ) -> None:
        forbidden = a_delivery(StompDeliverer, {**counterpart.configuration, "destination": "/queue/forbidden"})
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in (delivery, forbidden, delivery)))
        assert outcomes[0] == outcomes[2] == Delivered(None, "")
        assert outcomes[1] == Refused(
            None,
            "User tester is not authorized to write to: queue://forbidden",
            "the broker refused the message: User tester is not authorized to write to: queue://forbidden",
        )
        assert counterpart.line.accepted == 1

    async def test_messages_of_text_have_no_length(
        self, deliverer: StompDeliverer, counterpart: ActiveCounterpart, delivery: Delivery
    ) -> None:
        await deliverer.deliver(delivery)
        (message,) = await counterpart.messages()
        assert "content-length" not in message.headers  # by which ActiveMQ recognises a TextMessage

    async def test_consumers_can_select_by_type(
        self, deliverer: StompDeliverer, counterpart: ActiveCounterpart, delivery: Delivery
    ) -> None:
        for kind in ("order.paid", "order.created"):
            await deliverer.deliver(replace(delivery, triggered_by=kind))
        selector = "event_type = 'order.created' OR event_type IS NULL"  # the end of the reading has none
        found = await asyncio.to_thread(read_all, counterpart.plain, counterpart.destination, selector=selector)
        assert [message.headers["event_type"] for message in found] == ["order.created"]

    async def test_a_password_with_a_backslash_and_a_colon_logs_in(
        self, deliverer: StompDeliverer, counterpart: ActiveCounterpart, delivery: Delivery
    ) -> None:
        odd = "a:b\\cö"
        counterpart.server.allow({"tester": odd})
        changed = {**counterpart.configuration, "password": odd}
        assert await deliverer.deliver(a_delivery(StompDeliverer, changed)) == Delivered(None, "")


class TestActiveMQOverTls(TestActiveMQ):
    @pytest.fixture
    def counterpart(self, active_tls: ActiveCounterpart) -> ActiveCounterpart:
        return active_tls


class TestRabbitMQ(StompContract):
    @pytest.fixture
    def counterpart(self, rabbit: RabbitCounterpart) -> RabbitCounterpart:
        return rabbit

    async def test_a_destination_that_is_missing_leaves_all_unknown(
        self, deliverer: StompDeliverer, counterpart: RabbitCounterpart, delivery: Delivery
    ) -> None:
        missing = a_delivery(StompDeliverer, {**counterpart.configuration, "destination": "/exchange/missing"})
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in (missing, delivery)))
        words = "not_found (NOT_FOUND - no exchange 'missing' in vhost '/'); its outcome is unknown"
        assert outcomes[0] == Unreachable(f"the broker closed the connection: {words}")
        assert outcomes[1] in (outcomes[0], Delivered(None, ""))
        assert await deliverer.deliver(delivery) == Delivered(None, "")

    async def test_what_cannot_be_routed_is_confirmed_and_dropped(
        self, deliverer: StompDeliverer, counterpart: RabbitCounterpart
    ) -> None:
        # A limit of RabbitMQ's, which is documented; a change of it is worth knowing.
        nowhere = {**counterpart.configuration, "destination": "/exchange/amq.topic/nobody.listens"}
        assert await deliverer.deliver(a_delivery(StompDeliverer, nowhere)) == Delivered(None, "")


class TestRabbitMQOverTls(TestRabbitMQ):
    @pytest.fixture
    def counterpart(self, rabbit_tls: RabbitCounterpart) -> RabbitCounterpart:
        return rabbit_tls


async def test_an_address_names_the_virtual_host_by_its_path(rabbit: RabbitCounterpart) -> None:
    base = {key: value for key, value in rabbit.configuration.items() if key != "addresses"}
    async with opened() as deliverer:
        outcome = await deliverer.deliver(delivery_to(f"{rabbit.address}/{quote(VHOST, safe='')}", **base))
        unknown = await deliverer.deliver(delivery_to(f"{rabbit.address}/nowhere", **base))
    assert outcome == Delivered(None, "")
    assert len(await asyncio.to_thread(read_all, rabbit.plain, rabbit.destination, vhost=VHOST)) == 1
    assert isinstance(unknown, Refused)
    assert unknown.reason == "the broker refused the login: Bad CONNECT (Virtual host 'nowhere' access denied)"


async def test_a_password_with_a_backslash_logs_in_to_rabbitmq_too(rabbit: RabbitCounterpart) -> None:
    odd = "a:b\\cö"
    rabbit.refuse()
    rabbit.server.control("change_password", "tester", odd)
    async with opened() as deliverer:
        outcome = await deliverer.deliver(a_delivery(StompDeliverer, {**rabbit.configuration, "password": odd}))
    assert outcome == Delivered(None, "")


async def test_the_next_address_is_tried_and_remembered(active: ActiveCounterpart) -> None:
    first = Line(active.plain)
    base = {key: value for key, value in active.configuration.items() if key != "addresses"}
    delivery = delivery_to(f"stomp://127.0.0.1:{first.port}", active.address, **base)
    async with opened() as deliverer:
        assert await deliverer.deliver(delivery) == Delivered(None, "")
        await first.open()
        await active.line.cut()
        for _ in range(2):  # the first may be what notices the loss
            outcome = await deliverer.deliver(delivery)
        assert outcome == Delivered(None, "")
        assert (first.accepted, active.line.accepted) == (0, 2)
        await active.line.close()
        for _ in range(2):
            outcome = await deliverer.deliver(delivery)
        assert outcome == Delivered(None, "")
        assert first.accepted == 1
    await first.close()


async def test_a_silent_first_address_leaves_time_for_the_second(active: ActiveCounterpart) -> None:
    base = {key: value for key, value in active.configuration.items() if key != "addresses"}
    async with raw_receiver(silent) as mute, opened(timeout=2.0) as deliverer:
        outcome = await deliverer.deliver(delivery_to(f"stomp://127.0.0.1:{mute}", active.address, **base))
    assert outcome == Delivered(None, "")


async def test_every_address_that_failed_is_named() -> None:
    dead, other = free_port(), free_port()
    async with opened() as deliverer:
        outcome = await deliverer.deliver(
            delivery_to(dead, "stomp://10.1.2.3", f"stomp://localhost:{other}", "stomp+ssl://shop.invalid")
        )
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith(
        f"127.0.0.1:{dead}: connection refused by 127.0.0.1:{dead}; "
        "10.1.2.3:61613: address not allowed: 10.1.2.3 (private network); "
        f"localhost:{other}: connection refused by localhost:{other}; "
    )
    assert "127.0.0.1: Connection refused" in outcome.detail
    assert "shop.invalid:61614: host name shop.invalid does not resolve" in outcome.reason


async def test_a_certificate_of_an_unknown_authority_is_refused(active_tls: ActiveCounterpart) -> None:
    delivery = a_delivery(StompDeliverer, active_tls.configuration)
    async with opened() as deliverer:
        outcome = await deliverer.deliver(delivery)
    assert outcome == Unreachable("certificate is not signed by a known authority")
    assert await active_tls.received() == []


async def test_a_certificate_of_another_host_says_whose(active_tls: ActiveCounterpart) -> None:
    changed = {**active_tls.configuration, "addresses": [f"stomp+ssl://127.0.0.1:{active_tls.line.port}"]}
    async with opened(tls_ca_file=active_tls.tls_ca_file) as deliverer:
        outcome = await deliverer.deliver(a_delivery(StompDeliverer, changed))
    assert outcome == Unreachable("certificate is for localhost, not 127.0.0.1")
    shows_no_secret(outcome, active_tls)


async def test_an_expired_certificate_says_when(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=datetime(2026, 1, 2, tzinfo=UTC)).configure_cert(context)
    async with raw_receiver(silent, context) as port, opened(tls_ca_file=str(tmp_path / "ca.pem")) as deliverer:
        outcome = await deliverer.deliver(delivery_to(f"stomp+ssl://localhost:{port}"))
    assert outcome == Unreachable("certificate expired on 2026-01-02")


async def test_tls_to_a_port_without_it(rabbit: RabbitCounterpart) -> None:
    async with opened() as deliverer:
        outcome = await deliverer.deliver(delivery_to(f"stomp+ssl://localhost:{rabbit.line.port}"))
    # RabbitMQ takes a handshake for a frame that is not finished, or says what it thinks of it.
    assert isinstance(outcome, Unreachable)


async def test_no_tls_to_a_port_with_it(active_tls: ActiveCounterpart) -> None:
    async with opened() as deliverer:
        outcome = await deliverer.deliver(delivery_to(active_tls.line.port))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.endswith("it sent a TLS alert (is its address stomp+ssl:// rather than stomp://?)")
