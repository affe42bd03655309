"""Webhooks with a client certificate and authorities of their own: a real receiver that demands a certificate."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from deliverers.contract import Delivered, DelivererOptions, Outcome, Unreachable
from deliverers.testing import LOOPBACK, a_delivery
from deliverers.webhook import WebhookDeliverer
from tests.contract.strict_receiver import StrictReceiver

SERVERS, CLIENTS, STRANGERS = trustme.CA(), trustme.CA(), trustme.CA()


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def client(authority: trustme.CA, name: str, **changes: Any) -> dict[str, str]:
    """The part of a configuration that presents a certificate."""
    issued = authority.issue_cert(common_name=name, **changes)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    return {"client_certificate": chain.decode(), "client_key": issued.private_key_pem.bytes().decode()}


FIRST, SECOND = client(CLIENTS, "first"), client(CLIENTS, "second")


@dataclass
class DemandingReceiver:
    """A receiver that takes nothing without a certificate of CLIENTS."""

    #: The common name of the certificate of each request, and its connection.
    callers: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""

    async def hook(self, request: web.Request) -> web.Response:
        await request.read()
        assert request.transport is not None
        shown = request.transport.get_extra_info("peercert")
        names = [value for part in shown["subject"] for name, value in part if name == "commonName"]
        self.callers.append((names[0], id(request.transport)))
        return web.Response()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def demanding(request: pytest.FixtureRequest) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = request.param
    context.verify_mode = ssl.CERT_REQUIRED
    SERVERS.issue_cert("127.0.0.1").configure_cert(context)
    CLIENTS.configure_trust(context)
    return context


@pytest.fixture
def strict(demanding: ssl.SSLContext) -> Iterator[StrictReceiver]:
    receiver = StrictReceiver(demanding)
    yield receiver
    receiver.stop()


@pytest.fixture
async def receiver(demanding: ssl.SSLContext) -> AsyncIterator[DemandingReceiver]:
    receiver, application = DemandingReceiver(), web.Application()
    application.router.add_post("/hook", receiver.hook)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=demanding).start()
    receiver.url = f"https://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def deliverer() -> AsyncIterator[WebhookDeliverer]:
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK))
    await deliverer.open()
    yield deliverer
    await deliverer.close()


async def deliver(deliverer: WebhookDeliverer, receiver: DemandingReceiver | StrictReceiver, **changes: Any) -> Outcome:
    configuration = {"url": receiver.url, "ca_certificate": pem(SERVERS), **changes}
    outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, configuration))
    assert "PRIVATE KEY" not in repr((outcome, getattr(outcome, "exchange", None)))
    return outcome


async def test_the_receiver_knows_its_caller_and_connections_are_shared_by_one_certificate_alone(
    deliverer: WebhookDeliverer, receiver: DemandingReceiver
) -> None:
    for own in (FIRST, SECOND, FIRST, SECOND):
        assert isinstance(await deliver(deliverer, receiver, **own), Delivered)
    assert [name for name, _ in receiver.callers] == ["first", "second", "first", "second"]
    assert len({connection for _, connection in receiver.callers}) == 2


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({}, (" want", " a client certificate")),
        (client(STRANGERS, "stranger"), ("does not know the authority that signed the client certificate",)),
        (
            client(
                CLIENTS, "old", not_after=datetime(2026, 1, 5, tzinfo=UTC), not_before=datetime(2026, 1, 1, tzinfo=UTC)
            ),
            ("it has expired", "(configuration.client_certificate expired on 2026-01-05)"),
        ),
    ],
    ids=["none", "stranger", "expired"],
)
async def test_a_certificate_that_is_missing_strange_or_old_is_explained_in_words(
    deliverer: WebhookDeliverer, strict: StrictReceiver, own: dict[str, str], words: tuple[str, ...]
) -> None:
    assert isinstance(await deliver(deliverer, strict, **FIRST), Delivered)
    outcome = await deliver(deliverer, strict, **own)
    assert isinstance(outcome, Unreachable)
    for each in words:
        assert each in outcome.reason
    assert strict.taken == 1


async def test_a_receiver_that_only_closes_may_have_refused_the_certificate(
    deliverer: WebhookDeliverer, receiver: DemandingReceiver
) -> None:
    outcome = await deliver(deliverer, receiver, **client(STRANGERS, "stranger"))
    assert isinstance(outcome, Unreachable)
    assert "; it may have refused the client certificate" in outcome.reason
    assert receiver.callers == []


async def test_the_integrations_own_authorities_are_trusted_in_place_of_the_usual_ones(
    receiver: DemandingReceiver, tmp_path: Path
) -> None:
    usual = tmp_path / "usual.pem"
    usual.write_text(pem(SERVERS))
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK, tls_ca_file=str(usual)))
    await deliverer.open()
    refused = await deliver(deliverer, receiver, ca_certificate=pem(STRANGERS), **FIRST)
    taken = await deliver(deliverer, receiver, ca_certificate=None, **FIRST)
    await deliverer.close()
    assert isinstance(refused, Unreachable)
    assert "certificate is not signed by a known authority" in refused.reason
    assert isinstance(taken, Delivered)


@contextmanager
def one_context() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deliverers.http.sender.IdentityContexts", lambda: contexts(1))
        yield


def contexts(most: int) -> Any:
    from deliverers.tls_identity import IdentityContexts

    return IdentityContexts(most)


async def test_a_context_that_was_dropped_for_another_leaves_no_session_behind(receiver: DemandingReceiver) -> None:
    with one_context():
        deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK))
        await deliverer.open()
    for own in (FIRST, SECOND, FIRST):
        assert isinstance(await deliver(deliverer, receiver, **own), Delivered)
        # Nothing is kept but sessions, so that each one dials.
        assert deliverer._sender is not None
        deliverer._sender._pool.close()
    await deliverer.close()
