"""The HTTP sender on real sockets: what counts as an answer, what is never sent twice, and what a peer may cost."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import tracemalloc
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deliverers.contract import Delivered, DelivererOptions, NotAttempted, Refused, Unreachable
from deliverers.egress import EgressPolicy
from deliverers.http import HttpAnswer, HttpSender
from deliverers.http.http_connection import ExchangeEnd, HttpConnection
from deliverers.http.response import Fault
from deliverers.testing import LOOPBACK, SHORT_TIMEOUT, a_delivery
from deliverers.webhook import WebhookDeliverer
from tests.benchmarks.attacks.hostile_receiver import FLOODS, pour
from tests.contract.receivers import Script, raw_receiver, read_request, repeating, silent
from tests.counterparts.proxy import HttpProxy
from tests.waiting import PATIENCE, eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNASKED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
KIB = 1024
MIB = 1024 * KIB


@asynccontextmanager
async def opened(resolver: AbstractResolver | None = None, **changes: Any) -> AsyncIterator[HttpSender]:
    keep_alive = changes.pop("keep_alive", 4.0)
    options = DelivererOptions(**{"timeout": PATIENCE, "egress": LOOPBACK, **changes})
    sender = HttpSender(options, keep_alive, resolver)
    await sender.open()
    try:
        yield sender
    finally:
        await sender.close()


async def post(sender: HttpSender, port: int, path: str = "/", tenant: str = "a", body: bytes = b"{}") -> Any:
    return await sender.send("POST", f"http://127.0.0.1:{port}{path}", body, tenant=tenant)


@dataclass
class Peer:
    """Counts connections and requests; `after` runs after each answer, and may write what nobody asked for."""

    after: Callable[[asyncio.StreamWriter], Any] = lambda _: None
    answer: bytes = OK
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await read_request(reader))
                writer.write(self.answer)
                self.after(writer)
        finally:
            self.closed.set()


# --- what counts as an answer


@pytest.mark.parametrize(
    "extra", [UNASKED, UNASKED.replace(b"200", b"410"), b"\r\n", b"\0", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
async def test_what_comes_on_an_idle_connection_answers_no_later_request(extra: bytes) -> None:
    loop = asyncio.get_running_loop()
    peer = Peer(after=lambda writer: loop.call_later(0.05, writer.write, extra))
    async with raw_receiver(peer) as port, opened() as sender:
        assert (await post(sender, port, "/a")).body == b"ok"
        await peer.closed.wait()
        peer.answer = OK.replace(b"ok", b"no")
        assert (await post(sender, port, "/b")).body == b"no"
    assert (peer.connections, len(peer.requests)) == (2, 2)


async def test_what_has_arrived_and_was_not_read_yet_answers_no_later_request() -> None:
    """The loop has no turn between the arrival and the next request; the socket is asked."""
    peer = Peer()
    writers: list[asyncio.StreamWriter] = []
    peer.after = writers.append
    async with raw_receiver(peer) as port, opened() as sender:
        await post(sender, port)
        with socket.socket(fileno=os.dup(writers[0].get_extra_info("socket").fileno())) as same:
            same.send(UNASKED)
        peer.answer = OK.replace(b"ok", b"no")
        assert (await post(sender, port)).body == b"no"
    assert peer.connections == 2


@pytest.mark.parametrize("surplus", [OK, b"\r\n", b"\0", b"HTTP/1.1 "])
async def test_a_connection_that_sent_more_than_its_answer_is_not_used_again(surplus: bytes) -> None:
    peer = Peer(answer=OK + surplus)
    async with raw_receiver(peer) as port, opened() as sender:
        assert [(await post(sender, port)).body for _ in range(3)] == [b"ok"] * 3
    assert peer.connections == 3


async def test_connections_are_shared_within_a_tenant_and_never_beyond() -> None:
    peer = Peer()
    async with raw_receiver(peer) as port, opened() as sender:
        for tenant in ("a", "b", "a", "b", "c"):
            await post(sender, port, tenant=tenant)
    assert peer.connections == 3


async def test_a_stores_extra_bytes_settle_no_other_stores_delivery() -> None:
    """They arrive together with the other store's request, when they look like an answer."""
    loop = asyncio.get_running_loop()
    writers: list[asyncio.StreamWriter] = []
    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if writers:
            writers[0].write(UNASKED)
            writer.write(OK.replace(b"200 OK", b"503 No"))
            return
        writers.append(writer)
        writer.write(OK)
        await loop.create_future()

    await deliverer.open()
    async with raw_receiver(serve) as port:
        configuration = {"url": f"http://127.0.0.1:{port}/"}
        mine = a_delivery(WebhookDeliverer, configuration, store_id="store-1")
        other = a_delivery(WebhookDeliverer, configuration, store_id="store-2")
        assert await deliverer.deliver(mine) == Delivered(200, "ok")
        outcome = await deliverer.deliver(other)
        await deliverer.close()
    assert isinstance(outcome, Refused)
    assert outcome.status == 503


def test_a_tenant_is_a_store_or_else_an_organisation() -> None:
    tenants = {
        a_delivery(WebhookDeliverer, {"url": "http://shop.example"}, store_id=store, org_id=org).tenant
        for store, org in (("x", "o"), ("x", None), (None, "x"), (None, "o"), (None, None))
    }
    assert len(tenants) == 4


# --- a request is never sent twice


async def test_a_connection_that_the_peer_closed_is_not_used() -> None:
    peer = Peer(after=lambda writer: writer.close())
    async with raw_receiver(peer) as port, opened() as sender:
        for _ in range(20):
            assert (await post(sender, port)).body == b"ok"
    assert (peer.connections, len(peer.requests)) == (20, 20)


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("moment", ["before", "first byte", "head", "body"])
async def test_a_kept_connection_that_ends_takes_its_request_with_it(moment: str, reset: bool) -> None:
    """However much the peer has read, it may have acted on it."""
    requests = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(OK)
        match moment:
            case "first byte":
                await reader.readexactly(1)
            case "head":
                await reader.readuntil(b"\r\n\r\n")
            case "body":
                await read_request(reader)
            case _:
                # The request is on its way when the connection ends.
                await reader.read(1)
        requests.append(b"again")
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with raw_receiver(serve) as port, opened() as sender:
        assert isinstance(await post(sender, port), HttpAnswer)
        outcome = await post(sender, port)
    assert isinstance(outcome, Unreachable)
    assert "closed by the receiver before it answered" in outcome.reason or "reset by" in outcome.reason
    assert len(requests) == 2


async def test_an_idle_connection_is_closed_in_time() -> None:
    peer = Peer()
    async with raw_receiver(peer) as port, opened(keep_alive=0.05) as sender:
        await post(sender, port)
        async with asyncio.timeout(PATIENCE):
            await peer.closed.wait()
        await post(sender, port)
    assert peer.connections == 2


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nok", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 2),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 1),
    ],
)
async def test_a_connection_is_kept_as_the_peer_says(answer: bytes, connections: int) -> None:
    ends = b"1.0 200 OK\r\n\r\n" in answer
    peer = Peer(answer=answer, after=lambda writer: writer.close() if ends else None)
    async with raw_receiver(peer) as port, opened() as sender:
        answers = [await post(sender, port) for _ in range(2)]
    assert all(each.is_success and not each.broken for each in answers)
    assert peer.connections == connections


async def test_a_cancelled_request_closes_its_connection() -> None:
    peer = Peer(answer=b"")
    async with raw_receiver(peer) as port, opened() as sender:
        task = asyncio.create_task(post(sender, port))
        await eventually(lambda: peer.requests, "the request arrives")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(PATIENCE):
            await peer.closed.wait()


# --- early answers to large bodies


@pytest.mark.parametrize("reset", [True, False])
async def test_a_refusal_may_come_while_a_large_body_is_being_sent(reset: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge")
        await writer.drain()
        if not reset:
            await asyncio.get_running_loop().create_future()

    async with raw_receiver(serve) as port, opened() as sender:
        answer = await post(sender, port, body=b"x" * 32 * MIB)
    if isinstance(answer, Unreachable):  # the reset overtook the answer
        assert reset
        assert "reset by" in answer.reason
    else:
        assert (answer.status, answer.body) == (413, b"large")


async def test_a_success_counts_only_once_its_request_is_written() -> None:
    taken = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        if b"POST /takes" in head:
            await asyncio.sleep(0.1)
            taken.append(len(await reader.readexactly(16 * MIB)))
        else:
            await writer.drain()
            writer.transport.abort()

    async with raw_receiver(serve) as port, opened() as sender:
        complete = await post(sender, port, "/takes", body=b"x" * 16 * MIB)
        await eventually(lambda: taken, "the receiver has read what was written")
        broken = await post(sender, port, "/leaves", body=b"x" * 16 * MIB)
    assert (complete.status, complete.broken, taken) == (200, "", [16 * MIB])
    if isinstance(broken, HttpAnswer):
        assert not broken.is_success
    else:
        assert isinstance(broken, Unreachable)  # the reset overtook the answer


async def test_a_success_while_the_body_is_never_taken_fails_at_the_deadline() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await asyncio.get_running_loop().create_future()

    async with raw_receiver(serve) as port, opened(timeout=4.0) as sender:
        answer = await post(sender, port, body=b"x" * 16 * MIB)
    assert isinstance(answer, HttpAnswer)
    assert (answer.status, answer.is_success) == (200, False)


async def test_after_an_early_refusal_the_connection_is_not_used_again() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(OK if b"Content-Length: 2\r" in head else OK.replace(b"200 OK", b"413 No"))
        while await reader.read(65536):
            pass

    async with raw_receiver(serve) as port, opened() as sender:
        refused = await post(sender, port, body=b"x" * 32 * MIB)
        assert refused.status == 413
        assert (await post(sender, port)).status == 200
    assert connections == 2


# --- peers that end or speak before they are asked


@pytest.mark.parametrize("reset", [True, False])
async def test_a_peer_that_closes_at_once_is_an_outcome(reset: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with raw_receiver(serve) as port, opened() as sender:
        for _ in range(50):
            outcome = await post(sender, port)
            assert isinstance(outcome, Unreachable)
            assert "closed by the receiver" in outcome.reason or "reset by" in outcome.reason, outcome


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", OK])
async def test_what_a_new_connection_sends_unasked_answers_nothing(greeting: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()

    async with raw_receiver(serve) as port:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        connection = HttpConnection(sock, lambda _: None)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, sock=sock)
        await eventually(connection.transport.is_closing, "the greeting was read")
        ended = await connection.exchange(b"POST / HTTP/1.1\r\n\r\n", b"", KIB, loop.time() + PATIENCE)
    found = connection.reader
    assert (ended, found.status, found.fault) == (ExchangeEnd.ANSWERED, None, Fault.UNASKED)


# --- hostile peers


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000), "the receiver sent too many interim answers"),
        (repeating(b"", b"\r\n" * 50_000), "the receiver sent too much before its final status"),
        (
            repeating(b"", b"HTTP/1.1 103 Hints\r\nX: " + b"y" * 60_000 + b"\r\n\r\n"),
            "the receiver sent too much before",
        ),
        (repeating(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000), "the answer has too many headers"),
        (repeating(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 60_000), "a header of the answer is too long"),
        (repeating(b"HTTP/1.1 200 OK\r\n", b"X : y\r\n" * 10_000), "the answer has too many headers"),
    ],
)
async def test_what_precedes_a_status_and_its_headers_is_bounded(script: Script, reason: str) -> None:
    async with raw_receiver(script) as port, opened() as sender:
        outcome = await post(sender, port)
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith(reason)


async def test_answers_without_end_cost_one_read() -> None:
    received = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await read_request(reader)
        writer.transport.set_write_buffer_limits(0)
        while True:
            writer.write(OK * 10_000)
            await writer.drain()
            received += len(OK) * 10_000

    async with raw_receiver(serve) as port, opened() as sender:
        assert (await post(sender, port)).body == b"ok"
        before = received
        # The kernel's buffers take some more; then the connection is gone.
        await eventually(lambda: not sender._keys, "the connection is closed")
        assert received - before < 64 * MIB


# --- addresses


class Names(AbstractResolver):
    """Resolves every name to these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
        return [
            {"family": socket.AF_INET6 if ":" in each else socket.AF_INET, "host": each} for each in self._addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("count", [1, 2, 16])
async def test_each_address_is_dialled_once_and_named(count: int) -> None:
    dials = []
    addresses = [f"127.0.0.{number}" for number in range(1, count + 1)]
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        async with opened(Names(*addresses), dialled=lambda: dials.append(1)) as sender:
            outcome = await sender.send("POST", f"http://shop.example:{port}/", tenant="a")
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == f"connection refused by shop.example:{port}"
    assert outcome.detail.split("; ") == [f"{address}: Connection refused" for address in addresses]
    assert len(dials) == count


async def test_a_refusal_of_ours_comes_first_and_its_address_is_not_dialled() -> None:
    dials = []
    egress = EgressPolicy((ip_network("127.0.0.1/32"),))
    names = Names("127.0.0.1", "10.0.0.1")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        async with opened(names, egress=egress, dialled=lambda: dials.append(1)) as sender:
            outcome = await sender.send("POST", f"http://shop.example:{port}/", tenant="a")
    assert isinstance(outcome, Unreachable)
    refused = f"connection refused by shop.example:{port}"
    assert outcome.reason == f"address not allowed: shop.example (private network); {refused}"
    assert len(dials) == 1


async def test_an_address_that_works_is_found_behind_those_that_do_not() -> None:
    async with raw_receiver(Peer()) as port, opened(Names("127.0.0.2", "10.0.0.1", "::1", "127.0.0.1")) as sender:
        answer = await sender.send("POST", f"http://shop.example:{port}/", tenant="a")
    assert isinstance(answer, HttpAnswer)


async def test_an_address_that_does_not_answer_holds_up_no_other() -> None:
    """A full backlog: the kernel drops what asks for a connection, as a firewall does."""
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        port = full.getsockname()[1]
        first.connect(("127.0.0.2", port))
        async with raw_receiver(Peer(), port=port), opened(Names("127.0.0.2", "127.0.0.1")) as sender:
            answer = await sender.send("POST", f"http://shop.example:{port}/", tenant="a")
            assert isinstance(answer, HttpAnswer)
        async with opened(Names("127.0.0.2"), timeout=SHORT_TIMEOUT) as sender:
            outcome = await sender.send("POST", f"http://shop.example:{port}/", tenant="a")
    assert outcome == Unreachable(f"no answer within 0.5 s (connecting to shop.example:{port})")
    assert isinstance(outcome, Unreachable)
    assert outcome.detail == "127.0.0.2: no answer"


async def test_ipv6_is_dialled_and_named_in_brackets() -> None:
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with raw_receiver(serve, host="::1") as port, opened() as sender:
        answer = await sender.send("POST", f"http://[::1]:{port}/", tenant="a")
    assert isinstance(answer, HttpAnswer)
    assert f"Host: [::1]:{port}\r\n".encode() in heads[0]


async def test_silence_is_unreachable_and_lack_of_ours_is_not_attempted() -> None:
    async with raw_receiver(silent) as port, opened(timeout=SHORT_TIMEOUT) as sender:
        outcome = await post(sender, port)
    assert outcome == Unreachable("no answer within 0.5 s (connected, waiting for it)")
    assert not isinstance(outcome, NotAttempted)


@pytest.mark.parametrize(
    "path", ["/p?sp=%2Ftriggers%2Frun&sig=qZ0%2FXCC2w%3D", "/a%3Ab", "/a%2E%2E/b", "/%2e%2e/x", "/?", "/a//b?c=[d]|e"]
)
async def test_a_webhooks_target_arrives_byte_for_byte(path: str) -> None:
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    deliverer = WebhookDeliverer(DelivererOptions(egress=LOOPBACK))
    await deliverer.open()
    async with raw_receiver(serve) as port:
        delivery = a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{port}{path}"})
        assert isinstance(await deliverer.deliver(delivery), Delivered)
        await deliverer.close()
    assert heads[0].split(b"\r\n")[0] == f"POST {path.replace('|', '%7C')} HTTP/1.1".encode()


# --- TLS


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Any) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_names_the_server_offers_http_and_resumes_a_tenants_session(
    authority: trustme.CA, ca_file: str, version: ssl.TLSVersion
) -> None:
    context = server_context(authority, "shop.example", "other.example")
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    named: list[str | None] = []
    context.sni_callback = lambda _, name, __: named.append(name)
    seen: list[tuple[str | None, bool]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        secured = writer.get_extra_info("ssl_object")
        seen.append((secured.selected_alpn_protocol(), secured.session_reused))
        writer.write(OK.replace(b"Content-Length", b"Connection: close\r\nContent-Length"))

    async with raw_receiver(serve, context) as port, opened(Names("127.0.0.1"), tls_ca_file=ca_file) as sender:
        for host, tenant in (("shop", "a"), ("shop", "a"), ("shop", "b"), ("other", "a"), ("shop", "a")):
            answer = await sender.send("POST", f"https://{host}.example.:{port}/", tenant=tenant)
            assert isinstance(answer, HttpAnswer), answer
    assert [alpn for alpn, _ in seen] == ["http/1.1"] * 5
    assert [reused for _, reused in seen] == [False, True, False, False, True]
    assert set(named) == {"shop.example", "other.example"}


async def test_a_kept_connection_over_tls_is_used_again(authority: trustme.CA, ca_file: str) -> None:
    peer = Peer()
    context = server_context(authority, "shop.example")
    async with raw_receiver(peer, context) as port, opened(Names("127.0.0.1"), tls_ca_file=ca_file) as sender:
        for _ in range(3):
            assert isinstance(await sender.send("POST", f"https://shop.example:{port}/", tenant="a"), HttpAnswer)
    assert peer.connections == 1


def self_signed(folder: Path, *, name: str = "localhost") -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, form, none)
    (folder / "own.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


def restricted(authority: trustme.CA, **changes: Any) -> ssl.SSLContext:
    context = server_context(authority, "localhost")
    for name, value in changes.items():
        setattr(context, name, value)
    return context


def old_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = server_context(authority, "localhost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def wants_our_certificate(authority: trustme.CA) -> ssl.SSLContext:
    context = server_context(authority, "localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    return context


def dated(authority: trustme.CA, since: datetime, till: datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_before=since, not_after=till).configure_cert(context)
    return context


LONG_AGO, SOME_DAY = datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
BAD_TLS: dict[str, Callable[[trustme.CA, Path], ssl.SSLContext]] = {
    "expired": lambda ca, _: dated(ca, LONG_AGO, datetime(2002, 1, 1, tzinfo=UTC)),
    "not yet valid": lambda ca, _: dated(ca, SOME_DAY, datetime(2100, 1, 1, tzinfo=UTC)),
    "another host": lambda ca, _: server_context(ca, "other.example"),
    "a part of the host": lambda ca, _: server_context(ca, "host"),
    "more than the host": lambda ca, _: server_context(ca, "www.localhost"),
    "a wildcard of one level": lambda ca, _: server_context(ca, "*.localhost"),
    "an address": lambda ca, _: server_context(ca, "127.0.0.1"),
    "another address": lambda ca, _: server_context(ca, "127.0.0.2"),
    "an unknown authority": lambda _, __: server_context(trustme.CA(), "localhost"),
    "an unknown authority of a known name": lambda ca, _: server_context(
        trustme.CA(organization_name="trustme"), "localhost"
    ),
    "no name": lambda ca, _: server_context(ca, "someone@localhost"),
    "self-signed": lambda _, folder: self_signed(folder),
    "self-signed for another host": lambda _, folder: self_signed(folder, name="other.example"),
    "an old protocol": lambda ca, _: old_tls(ca),
    "wants our certificate": lambda ca, _: wants_our_certificate(ca),
}


@pytest.mark.parametrize("name", BAD_TLS)
async def test_a_bad_tls_server_gets_no_request(name: str, authority: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    peer = Peer()
    context = BAD_TLS[name](authority, tmp_path)
    async with raw_receiver(peer, context) as port, opened(tls_ca_file=ca_file) as sender:
        outcome = await sender.send("POST", f"https://localhost:{port}/?t0p", b"secret", tenant="a")
    assert isinstance(outcome, Unreachable)
    assert "certificate" in outcome.reason or "TLS" in outcome.reason
    assert "t0p" not in repr(outcome)
    assert peer.requests == []


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "TLS handshake failed"),
        (b"", "closed"),
    ],
)
async def test_a_server_that_does_not_speak_tls(greeting: bytes, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(greeting)
        await writer.drain()

    async with raw_receiver(serve) as port, opened() as sender:
        outcome = await sender.send("POST", f"https://localhost:{port}/", tenant="a")
    assert isinstance(outcome, Unreachable)
    assert said in outcome.reason or "connection reset by" in outcome.reason


# --- proxies


def tunnelling(answer: bytes) -> Script:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9999\r\n\r\n", "(status 403)"),
        (b"HTTP/1.1 407 Log In\r\n\r\n", "(status 407)"),
        (b"HTTP/1.1 200 OK\r\n\r\nbytes before the receiver's", "(status 200)"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 99, "(closed the connection)"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "(closed the connection)"),
        (b"", "(closed the connection)"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_said(answer: bytes, said: str) -> None:
    async with raw_receiver(tunnelling(answer)) as port, opened(proxy=f"http://127.0.0.1:{port}") as sender:
        outcome = await sender.send("POST", "https://localhost:9/", tenant="a")
    assert outcome == Unreachable(f"the egress proxy refused to connect to localhost:9 {said}")


async def test_a_proxy_that_never_answers_ends_at_the_deadline() -> None:
    async with raw_receiver(silent) as port:
        for url in ("https://localhost:9/", "http://localhost:9/"):
            async with opened(proxy=f"http://127.0.0.1:{port}", timeout=SHORT_TIMEOUT) as sender:
                outcome = await sender.send("POST", url, b"{}", tenant="a")
            assert isinstance(outcome, Unreachable)
            assert outcome.reason.startswith("no answer within 0.5 s")
            assert "127.0.0.1" not in repr(outcome)


async def test_a_tunnel_is_kept_for_its_receiver_and_tenant(authority: trustme.CA, ca_file: str) -> None:
    peer = Peer()
    context = server_context(authority, "localhost")
    async with raw_receiver(peer, context) as port, HttpProxy() as proxy:
        async with opened(proxy=proxy.url, tls_ca_file=ca_file) as sender:
            for tenant in ("a", "a", "b"):
                answer = await sender.send("POST", f"https://localhost:{port}/", b"{}", tenant=tenant)
                assert isinstance(answer, HttpAnswer)
        assert proxy.asked == [f"localhost:{port}"] * 2


async def test_a_bad_tls_server_behind_a_proxy_gets_no_request(ca_file: str) -> None:
    peer = Peer()
    context = server_context(trustme.CA(), "localhost")
    async with (
        raw_receiver(peer, context) as port,
        HttpProxy() as proxy,
        opened(proxy=proxy.url, tls_ca_file=ca_file) as sender,
    ):
        outcome = await sender.send("POST", f"https://localhost:{port}/", b"{}", tenant="a")
    assert outcome == Unreachable("certificate is not signed by a known authority")
    assert peer.requests == []


# --- all floods at once


async def test_ten_floods_at_once_cost_no_memory_and_no_neighbour() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await pour(writer, *FLOODS[head.split(b" ")[1].decode().strip("/")])

    deliverer = WebhookDeliverer(DelivererOptions(timeout=PATIENCE, egress=LOOPBACK))
    await deliverer.open()
    tracemalloc.start()
    try:
        async with raw_receiver(serve) as port, raw_receiver(Peer()) as quick:
            urls = [f"http://127.0.0.1:{port}/{name}" for name in FLOODS] * 3
            flooded = [deliverer.deliver(a_delivery(WebhookDeliverer, {"url": url})) for url in urls]
            beside = a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{quick}/"})
            others = [deliverer.deliver(beside) for _ in range(20)]
            outcomes = await asyncio.gather(*others, *flooded)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        await deliverer.close()
    assert outcomes[:20] == [Delivered(200, "ok")] * 20
    # None of them had to wait for its deadline.
    assert not [each for each in outcomes if "no answer" in getattr(each, "reason", "")]
    assert peak < 64 * MIB
