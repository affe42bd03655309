"""Receivers as they are met on the internet, each with the outcome that its log will show."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from deliverers.contract import Delivered, DelivererOptions, Gone, Outcome, Refused, Unreachable
from deliverers.egress import EgressPolicy
from deliverers.http.names import LateResolver
from deliverers.testing import LOOPBACK, PATIENCE, SHORT_TIMEOUT, a_delivery
from deliverers.webhook import WebhookDeliverer

from .receivers import Script, answering, in_two, raw_receiver, read_request, repeating, resetting, silent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KIB = 1024


@asynccontextmanager
async def opened(**changes: Any) -> AsyncIterator[WebhookDeliverer]:
    deliverer = WebhookDeliverer(DelivererOptions(**{"timeout": 10.0, "egress": LOOPBACK, **changes}))
    await deliverer.open()
    try:
        yield deliverer
    finally:
        await deliverer.close()


async def outcome_of(script: Script, **changes: Any) -> Outcome:
    async with raw_receiver(script) as port, opened(**changes) as deliverer:
        return await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{port}/hook?token=t0p"}))


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_503_carries_the_pause_that_it_asks_for() -> None:
    outcome = await outcome_of(answering(answer("503 Whatever It Says", "Retry-After: 120", body=b"later")))
    assert outcome == Refused(
        503,
        "later",
        "Received a status code outside of 2xx range (503 Service Unavailable) - treating webhook as a fail",
        120.0,
    )


async def test_a_429_may_name_a_date() -> None:
    date = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    outcome = await outcome_of(answering(answer("429 Too Many Requests", f"Retry-After: {date}")))
    assert isinstance(outcome, Refused)
    assert outcome.retry_after == pytest.approx(3600, abs=30)


async def test_a_410_ends_it() -> None:
    outcome = await outcome_of(answering(answer("410 Gone", body=b"bye")))
    assert isinstance(outcome, Gone)
    assert (outcome.status, outcome.body) == (410, "bye")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed_and_their_secrets_not_shown(status: str) -> None:
    location = "http://user:pass@169.254.169.254/latest/meta-data?token=s3cr3t#frag"
    outcome = await outcome_of(answering(answer(status, f"Location: {location}")))
    assert isinstance(outcome, Refused)
    assert outcome.reason.endswith("redirects are not followed (Location: http://169.254.169.254/latest/meta-data)")


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "205 Reset Content", "299 Odd"])
async def test_every_2xx_is_delivered(status: str) -> None:
    assert await outcome_of(answering(answer(status, body=b"ok"))) == Delivered(int(status[:3]), "ok")


async def test_a_204_has_no_body() -> None:
    assert await outcome_of(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) == Delivered(204, "")


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert await outcome_of(answering(interim + OK)) == Delivered(200, "ok")


async def test_a_switch_of_protocols_is_refused() -> None:
    outcome = await outcome_of(
        answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    )
    assert isinstance(outcome, Refused)
    assert outcome.status == 101


async def test_one_byte_a_second_ends_at_the_deadline_with_the_status_that_came() -> None:
    slow = repeating(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x", 0.05)
    outcome = await outcome_of(slow, timeout=SHORT_TIMEOUT)
    assert isinstance(outcome, Refused)
    assert outcome.status == 200
    assert "xxx" in outcome.body
    assert "no complete answer within 0.5 s (reading its body)" in outcome.reason


async def test_headers_that_trickle_end_at_the_deadline() -> None:
    outcome = await outcome_of(repeating(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.1), timeout=SHORT_TIMEOUT)
    assert outcome == Unreachable("no answer within 0.5 s (connected, waiting for it)")


async def test_endless_headers_are_cut_off() -> None:
    outcome = await outcome_of(repeating(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"y" * 500 + b"\r\n"))
    assert outcome == Unreachable("the answer has too many headers")


async def test_an_endless_header_is_cut_off() -> None:
    outcome = await outcome_of(repeating(b"HTTP/1.1 200 OK\r\nX-A: ", b"y" * KIB))
    assert outcome == Unreachable("a header of the answer is too long")


async def test_an_endless_body_counts_by_its_status_and_is_cut_off() -> None:
    tracemalloc.start()
    try:
        start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        outcome = await outcome_of(repeating(start, b"1000\r\n" + b"x" * 4096 + b"\r\n"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome == Delivered(200, "x" * 4 * KIB)
    assert peak < 8 * KIB * KIB


async def test_an_endless_body_of_a_refusal_is_a_refusal() -> None:
    outcome = await outcome_of(repeating(b"HTTP/1.1 500 Oops\r\n\r\n", b"x" * 4096))
    assert isinstance(outcome, Refused)
    assert outcome.status == 500


async def test_a_gzip_bomb_costs_no_more_than_an_honest_answer() -> None:
    bomb = gzip.compress(b"\0" * 50 * KIB * KIB)
    assert len(bomb) < 64 * KIB
    tracemalloc.start()
    try:
        outcome = await outcome_of(answering(answer("200 OK", "Content-Encoding: gzip", body=bomb)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(outcome, Delivered)
    assert 0 < len(outcome.body) <= 4 * KIB
    assert peak < 4 * KIB * KIB


async def test_nul_and_invalid_utf8_are_readable_in_the_log() -> None:
    outcome = await outcome_of(answering(answer("200 OK", body=b"a\0b\xff\x1b[31m\r\nc")))
    assert outcome == Delivered(200, "a\\x00b\N{REPLACEMENT CHARACTER}\\x1b[31m\r\nc")


async def test_a_content_length_that_promises_too_much_is_a_refusal() -> None:
    outcome = await outcome_of(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc"))
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.body) == (200, "abc")
    assert "broke off" in outcome.reason


@pytest.mark.parametrize("join", [True, False])
@pytest.mark.parametrize(
    ("head", "rest", "body"),
    [
        (b"200 OK\r\nContent-Length: 1\r\n\r\na", b"bc", "a"),
        (b"204 No Content\r\nContent-Length: 2\r\n\r\n", b"{}", ""),
        (b"204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n", ""),
        (b"200 OK\r\nContent-Length: 13\r\n\r\n1234567890123", b"4", "1234567890123"),
        (b"200 OK\r\nX-A: " + b"y" * 8_190 + b"\r\nContent-Length: 2\r\n\r\n", b"ok", "ok"),
        (b"200 OK\r\n" + b"X-A: y\r\n" * 129 + b"Content-Length: 2\r\n\r\n", b"ok", "ok"),
        (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n", ""),
        (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"zz\r\n", "abc"),
        (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\nok\n0\n\n", ""),
        (b"200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"\r\n", ""),
        (b"200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n", b"\r\n", ""),
        (b"200 OK\r\nContent-Length : 2\r\n", b"\r\n", ""),
    ],
)
async def test_surplus_large_headers_and_malformed_framing_do_not_change_a_status(
    join: bool, head: bytes, rest: bytes, body: str
) -> None:
    start = b"HTTP/1.1 " + head
    outcome = await outcome_of(answering(start + rest) if join else in_two(start, rest))
    assert outcome == Delivered(int(head[:3]), body)


@pytest.mark.parametrize("line", [b"X-A: " + b"y" * 9 * KIB, b"Content-Length: 0\r\nContent-Length: 0", b"X : y"])
async def test_the_pause_of_a_large_or_malformed_head_is_kept(line: bytes) -> None:
    head = b"HTTP/1.1 503 Service Unavailable\r\n" + line + b"\r\nRetry-After: 60\r\n\r\n"
    for script in (answering(head), in_two(head[:40], head[40:])):
        outcome = await outcome_of(script)
        assert isinstance(outcome, Refused)
        assert (outcome.status, outcome.retry_after) == (503, 60.0)


async def test_a_reset_in_the_midst_of_the_body_is_a_refusal() -> None:
    async with (
        raw_receiver(resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc")) as port,
        opened() as deliverer,
    ):
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{port}/"}))
    match outcome:
        case Refused(status=200, reason=reason):
            assert "reading" in reason or "being read" in reason
        case Unreachable(reason=reason):  # the reset overtook the headers
            assert reason == f"connection reset by 127.0.0.1:{port} while waiting for the answer"
        case _:
            pytest.fail(f"neither refused nor unreachable: {outcome}")


async def test_a_connection_closed_before_the_answer() -> None:
    assert await outcome_of(answering(b"")) == Unreachable("connection closed by the receiver before it answered")


async def test_a_connection_closed_within_the_headers() -> None:
    outcome = await outcome_of(answering(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith("connection closed by the receiver")


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"220 mail ESMTP\r\n", b"\x16\x03\x01\x00\x05", b"\0" * 64]
)
async def test_a_server_that_does_not_speak_http(greeting: bytes) -> None:
    assert await outcome_of(answering(greeting)) == Unreachable("the answer is not HTTP")


async def test_a_post_is_never_sent_twice_when_a_kept_connection_closes() -> None:
    requests = 0

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        for sent in (OK, b""):
            await read_request(reader)
            requests += 1
            writer.write(sent)

    async with raw_receiver(answers_once) as port, opened() as deliverer:
        delivery = a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{port}/"})
        assert await deliverer.deliver(delivery) == Delivered(200, "ok")
        outcome = await deliverer.deliver(delivery)
    assert outcome == Unreachable("connection closed by the receiver before it answered")
    assert requests == 2


async def test_silent_receivers_make_no_other_wait() -> None:
    async with (
        raw_receiver(silent) as mute,
        raw_receiver(answering(OK)) as quick,
        opened(timeout=2 * PATIENCE) as deliverer,
    ):
        hanging = [
            asyncio.create_task(
                deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{mute}/{n}"}))
            )
            for n in range(300)
        ]
        outcome = await asyncio.wait_for(
            deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{quick}/"})), PATIENCE
        )
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    assert outcome == Delivered(200, "ok")


async def test_closing_ends_what_is_under_way_and_blames_no_receiver() -> None:
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await silent(reader, writer)

    async with raw_receiver(never) as port, opened() as deliverer:
        task = asyncio.create_task(
            deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{port}/"}))
        )
        await asked.wait()
        await deliverer.close()
        outcome = await asyncio.wait_for(task, PATIENCE)
    assert outcome == Unreachable("interrupted: this worker was closing, and the outcome is unknown")


async def test_nobody_listening_names_the_address() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        async with opened() as deliverer:
            outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{port}/?t=1"}))
            named = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://localhost:{port}/?t=1"}))
    assert outcome == Unreachable(f"connection refused by 127.0.0.1:{port}")
    assert isinstance(named, Unreachable)
    assert named.reason == f"connection refused by localhost:{port}"
    assert "127.0.0.1: Connection refused" in named.detail


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "[64:ff9b::7f00:1]", "0.0.0.0"],
)
async def test_an_address_that_is_not_allowed_is_not_dialled(host: str) -> None:
    async with opened(egress=DelivererOptions().egress) as deliverer:
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://{host}:9/"}))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith("address not allowed: ")


async def test_a_name_that_does_not_resolve() -> None:
    async with raw_name_server(answers=True) as port, opened_with_name_server(port) as deliverer:
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": "http://shop.example/?t=1"}))
    assert outcome == Unreachable("host name shop.example does not resolve")


async def test_a_name_that_changes_its_address_gains_nothing() -> None:
    """DNS rebinding: what counts is the address that is dialled, whatever the name meant before."""
    only_one = EgressPolicy((ip_network("127.0.0.1/32"),))
    outcomes = []
    async with raw_receiver(answering(OK)) as port:
        for address in ("127.0.0.1", "127.0.0.2"):
            async with (
                raw_name_server(address=address) as names,
                opened_with_name_server(names, egress=only_one) as deliverer,
            ):
                url = f"http://rebinding.example:{port}/"
                outcomes.append(await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": url})))
    assert outcomes == [Delivered(200, "ok"), Unreachable("address not allowed: rebinding.example (loopback)")]
    assert isinstance(outcomes[1], Unreachable)
    assert outcomes[1].detail == "address not allowed: 127.0.0.2 (loopback)", "the operator sees which"


@pytest.mark.parametrize("address", ["10.1.2.3", "169.254.169.254", "192.168.7.9"])
async def test_what_a_private_name_resolves_to_is_for_the_operator_alone(address: str) -> None:
    async with (
        raw_name_server(address=address) as names,
        opened_with_name_server(names, egress=DelivererOptions().egress) as deliverer,
    ):
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": "http://private.test/"}))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith("address not allowed: private.test (")
    assert address not in outcome.reason
    assert address in outcome.detail


async def test_a_name_server_that_hangs_ends_at_the_deadline_and_delays_nobody() -> None:
    async with (
        raw_name_server(answers=False) as port,
        raw_receiver(answering(OK)) as quick,
        opened_with_name_server(port, seconds=4.0) as deliverer,
    ):
        lost = asyncio.gather(
            *(deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://shop-{n}.example/"})) for n in range(100))
        )
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"http://127.0.0.1:{quick}/"}))
        assert outcome == Delivered(200, "ok")
        assert not lost.done()
        reasons = {outcome.reason for outcome in await lost if isinstance(outcome, Unreachable)}
    assert len(reasons) == 100
    assert all("does not resolve" in reason or "no answer within 4 s" in reason for reason in reasons)


@asynccontextmanager
async def raw_name_server(answers: bool = True, address: str | None = None) -> AsyncIterator[int]:
    """Says that there is no such name, or that each has one address; or says nothing."""

    class NameServer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if address and data[question_end(data) - 4 : question_end(data) - 2] == b"\0\1":
                # One A record of the name that was asked for, good for no time at all.
                record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address)
                head = data[:2] + b"\x81\x80" + data[4:6] + b"\0\1" + b"\0" * 4
                self.transport.sendto(head + question(data) + record, addr)
            elif answers:
                # The question again, as an answer: NXDOMAIN, no records (RFC 1035, section 4.1.1).
                self.transport.sendto(data[:2] + b"\x81\x83" + data[4:6] + b"\0" * 6 + question(data), addr)

    def question(data: bytes) -> bytes:
        return data[12 : question_end(data)]

    def question_end(data: bytes) -> int:
        return data.index(b"\0", 12) + 5

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(NameServer, ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@asynccontextmanager
async def opened_with_name_server(
    port: int, seconds: float = 10.0, egress: EgressPolicy = LOOPBACK
) -> AsyncIterator[WebhookDeliverer]:
    class Deliverer(WebhookDeliverer):
        def _make_resolver(self) -> AbstractResolver:
            return cast("AbstractResolver", LateResolver(seconds * 0.2, [f"127.0.0.1:{port}"]))

    deliverer = Deliverer(DelivererOptions(timeout=seconds, egress=egress))
    await deliverer.open()
    try:
        yield deliverer
    finally:
        await deliverer.close()


async def over_tls(certificate: trustme.LeafCert, trusted: trustme.CA | None, folder: Path) -> Outcome:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    ca_file = None
    if trusted is not None:
        ca_file = str(folder / "ca.pem")
        trusted.cert_pem.write_to_path(ca_file)
    async with raw_receiver(answering(OK), context) as port, opened(tls_ca_file=ca_file) as deliverer:
        return await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"https://localhost:{port}/"}))


async def test_an_expired_certificate_says_when(tmp_path: Path) -> None:
    authority = trustme.CA()
    expired = authority.issue_cert("localhost", not_after=datetime(2026, 1, 2, tzinfo=UTC))
    assert await over_tls(expired, authority, tmp_path) == Unreachable("certificate expired on 2026-01-02")


async def test_a_certificate_of_another_host_says_whose(tmp_path: Path) -> None:
    authority = trustme.CA()
    outcome = await over_tls(authority.issue_cert("other.example"), authority, tmp_path)
    assert outcome == Unreachable("certificate is for other.example, not localhost")


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    outcome = await over_tls(trustme.CA().issue_cert("localhost"), None, tmp_path)
    assert outcome == Unreachable("certificate is not signed by a known authority")


async def test_a_certificate_that_cannot_be_read_is_refused_all_the_same(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    odd = b"\x30\x06\xa3\x04\x30\x02\x05\x00"  # its name is an x400Address, which cryptography does not read
    oid = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001
        .add_extension(x509.UnrecognizedExtension(oid, odd), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (tmp_path / "odd.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "odd.pem")
    async with raw_receiver(answering(OK), context) as port:
        for trusted, words in (
            (None, "certificate is self-signed"),
            (str(tmp_path / "odd.pem"), "certificate expired on 2026-01-02"),
        ):
            async with opened(tls_ca_file=trusted) as deliverer:
                outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"https://localhost:{port}/"}))
            assert outcome == Unreachable(words)


async def test_https_to_a_server_of_plain_http() -> None:
    async with raw_receiver(answering_anything(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port, opened() as deliverer:
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"https://localhost:{port}/"}))
    assert outcome == Unreachable(f"localhost:{port} does not speak TLS (is its URL http rather than https?)")


async def test_a_handshake_that_hangs_ends_at_the_deadline() -> None:
    async with raw_receiver(silent) as port, opened(timeout=SHORT_TIMEOUT) as deliverer:
        outcome = await deliverer.deliver(a_delivery(WebhookDeliverer, {"url": f"https://localhost:{port}/"}))
    assert isinstance(outcome, Unreachable)
    # On a busy machine, the deadline may fall before or after the first of the handshake.
    assert outcome.reason.startswith("no answer within 0.5 s (connect")


def answering_anything(sent: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(sent)
        await writer.drain()

    return script


async def test_no_outcome_shows_the_query_of_the_url() -> None:
    scripts = [
        answering(b""),
        answering(b"\0"),
        resetting(b""),
        answering(answer("500 No")),
        answering(answer("302 F")),
    ]
    for script in scripts:
        assert "t0p" not in repr(await outcome_of(script))
