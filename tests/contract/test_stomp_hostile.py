"""Brokers as they are met in the field, each with the outcome that its log will show, and nobody else harmed."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp.abc import AbstractResolver

from deliverers.backoff import Backoff
from deliverers.contract import Delivered, Outcome, Refused, Unreachable
from deliverers.stomp import connection, pool, stomp_session
from deliverers.stomp import stomp_deliverer as deliverer_module
from deliverers.testing import PATIENCE, SHORT_TIMEOUT
from tests.counterparts import activemq
from tests.counterparts.activemq import ActiveServer
from tests.counterparts.server import require
from tests.counterparts.stomp import read_all
from tests.waiting import eventually

from .receivers import Script, raw_receiver, silent
from .stomp_brokers import (
    CONNECTED,
    Sent,
    answering,
    delivery_to,
    error,
    greet,
    number_of,
    once_each,
    opened,
    read_frame,
    receipt,
)

KIB = 1024
MIB = 1024 * KIB
DELIVERED = Delivered(None, "")


@pytest.fixture
def broker() -> Iterator[ActiveServer]:
    """A broker of a test's own, to be frozen and killed."""
    require(activemq.ActiveServer)
    with ActiveServer() as server:
        yield server


@pytest.fixture
async def unharmed() -> AsyncIterator[None]:
    """Nothing is left behind: no task, but for those that a test's own server still ends."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if "deliverers" in repr(task.get_coro())}
    assert not left


pytestmark = pytest.mark.usefixtures("unharmed")


async def outcome_of(script: Script, timeout: float = 10.0) -> tuple[Outcome, int]:
    async with raw_receiver(script) as port, opened(timeout=timeout) as deliverer:
        return await deliverer.deliver(delivery_to(port, username="shop", password="planted")), port


def speaking(words: bytes, hold: bool = True) -> Script:
    """Says something as soon as somebody speaks, whatever it is."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)
        await writer.drain()
        if hold:
            await silent(reader, writer)

    return script


# --- before the session


async def test_a_broker_that_never_answers_ends_at_the_deadline() -> None:
    outcome, port = await outcome_of(silent, SHORT_TIMEOUT)
    assert outcome == Unreachable(f"no answer within 0.5 s (connected to 127.0.0.1:{port}, logging in)")


async def test_a_broker_that_only_gives_signs_of_life_ends_at_the_deadline() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"\n")
            await asyncio.sleep(0.01)

    outcome, port = await outcome_of(script, SHORT_TIMEOUT)
    assert outcome == Unreachable(f"no answer within 0.5 s (connected to 127.0.0.1:{port}, logging in)")


async def test_a_login_that_is_refused_says_why_and_shows_no_password() -> None:
    words = error("Bad CONNECT", body="Access refused for user 'shop' with 'planted'\nmore")
    outcome, _ = await outcome_of(speaking(words))
    assert outcome == Refused(
        None,
        "Access refused for user 'shop' with '********'\nmore",
        "the broker refused the login: Bad CONNECT (Access refused for user 'shop' with '********')",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "what is no STOMP frame"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what is no STOMP frame"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "a TLS alert (is its address stomp+ssl:// rather than stomp://?)"),
        (b"\0\0\0", "what is no STOMP frame"),
        (b"CONNECTED\nversion:1.2\0", "a frame whose headers do not end"),
        (b"CONNECTED\n\n\0", "CONNECTED for version '1.0', and 1.2 is needed"),
        (b"CONNECTED\nversion:1.2\nheart-beat:soon\n\n\0", "a heart-beat header that is not two numbers"),
        (b"RECEIPT\nreceipt-id:1\n\n\0", "RECEIPT before CONNECTED"),
        (b"ERROR\ncontent-length:99999999\n\n", "a content-length that is no number up to 65536"),
        (b"ERROR\ncontent-length:2\n\nabc\0", "a frame that is longer than its content-length"),
        (b"ERROR\n" + b"x:" + b"y" * 70 * KIB, "a frame of more than 65536 bytes"),
    ],
)
async def test_what_is_no_stomp_is_reported_at_once(words: bytes, said: str) -> None:
    outcome, port = await outcome_of(speaking(words))
    assert outcome == Unreachable(f"127.0.0.1:{port} does not speak STOMP as it should: it sent {said}")


async def test_half_a_frame_and_then_nothing_ends_at_the_deadline() -> None:
    outcome, port = await outcome_of(speaking(CONNECTED[:20]), SHORT_TIMEOUT)
    assert outcome == Unreachable(f"no answer within 0.5 s (connected to 127.0.0.1:{port}, logging in)")


async def test_half_a_frame_and_then_the_end() -> None:
    outcome, port = await outcome_of(speaking(CONNECTED[:20], hold=False))
    assert outcome == Unreachable(f"the broker closed the connection (127.0.0.1:{port})")


async def test_a_greeting_and_good_bye_in_one_breath() -> None:
    outcome, _ = await outcome_of(speaking(CONNECTED + error("shutting down")))
    assert outcome == Unreachable("the broker closed the connection: shutting down")


async def test_a_reset_before_the_session() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    outcome, port = await outcome_of(script)
    assert outcome == Unreachable(f"connection reset by 127.0.0.1:{port} while waiting for the answer")


async def test_a_host_may_end_in_the_dot_of_the_dns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Names(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            return [{"family": socket.AF_INET, "host": "127.0.0.1"}]

        async def close(self) -> None:
            pass

    monkeypatch.setattr(deliverer_module, "resolver_of", lambda _: Names())
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("broker.example").configure_cert(context)
    async with (
        raw_receiver(answering(receipt), context) as port,
        opened(tls_ca_file=str(tmp_path / "ca.pem")) as tried,
    ):
        assert await tried.deliver(delivery_to(f"stomp+ssl://broker.example.:{port}")) == DELIVERED


async def test_each_address_of_a_name_is_dialled_once_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Names(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            return [{"family": socket.AF_INET, "host": each} for each in ("10.0.0.1", "127.0.0.1", "127.0.0.2")]

        async def close(self) -> None:
            pass

    dials: list[int] = []
    monkeypatch.setattr(deliverer_module, "resolver_of", lambda _: Names())
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        async with opened(dialled=lambda: dials.append(1)) as tried:
            outcome = await tried.deliver(delivery_to(f"stomp://broker.example:{port}"))
    assert isinstance(outcome, Unreachable)
    refused = f"connection refused by broker.example:{port}"
    assert outcome.reason == f"address not allowed: broker.example (private network); {refused}"
    found = ["address not allowed: 10.0.0.1 (private network)", "127.0.0.1: Connection refused"]
    assert outcome.detail.split("; ") == [*found, "127.0.0.2: Connection refused"]
    assert len(dials) == 2


# --- within the session


async def test_an_error_with_a_receipt_id_concerns_that_message_alone() -> None:
    def answer(sent: Sent) -> bytes:
        return error("not you", sent, "a\0b"[:1]) if number_of(sent) % 2 else receipt(sent)

    async with raw_receiver(answering(answer)) as port, opened() as deliverer:
        outcomes = await asyncio.gather(*(deliverer.deliver(delivery_to(port, number=n)) for n in range(10)))
    refused = Refused(None, "a", "the broker refused the message: not you (a)")
    assert outcomes == [refused if n % 2 else DELIVERED for n in range(10)]


async def test_an_error_without_a_receipt_id_leaves_the_others_unknown() -> None:
    def answer(sent: Sent) -> bytes:
        return {0: receipt(sent), 1: b"", 2: error("gone\\c planted")}.get(number_of(sent), b"")

    async with raw_receiver(answering(answer)) as port, opened() as deliverer:
        given = [delivery_to(port, number=n, password="planted") for n in range(3)]
        outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in given))
    unknown = Unreachable("the broker closed the connection: gone: ********; its outcome is unknown")
    assert outcomes == [DELIVERED, unknown, unknown]


async def test_a_destination_that_ends_sessions_ends_no_others_for_long() -> None:
    def answer(sent: Sent) -> bytes:
        return error("not_found") if sent.headers["destination"] == "/exchange/missing" else receipt(sent)

    counted = Counted(answering(answer))
    async with raw_receiver(counted) as port, opened(timeout=2.0) as deliverer:
        bad, good, other = (
            delivery_to(port, destination=where) for where in ("/exchange/missing", "/queue/a", "/queue/b")
        )
        await asyncio.gather(*(deliverer.deliver(one) for one in (good, bad, other)))
        for _ in range(3):
            outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in (bad, good, other, good)))
            assert outcomes[1:] == [DELIVERED] * 3
            assert isinstance(outcomes[0], Unreachable)
        # The shared one, one for each try of the bad one, and two that last.
        assert counted.connections == 1 + 3 + 2


async def test_destinations_that_were_kept_apart_come_together_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SEPARATE_SECONDS", 0.0)
    counted = Counted(once_each(answering(lambda sent: error("not_found")), answering(receipt)))
    async with raw_receiver(counted) as port, opened() as deliverer:
        assert isinstance(await deliverer.deliver(delivery_to(port)), Unreachable)
        for where in ("/queue/a", "/queue/b", "/queue/c"):
            assert await deliverer.deliver(delivery_to(port, destination=where)) == DELIVERED
    assert counted.connections == 2


async def test_a_lost_connection_leaves_the_others_unknown_and_is_opened_again() -> None:
    leaves = answering(lambda sent: receipt(sent) if number_of(sent) == 0 else None)
    async with raw_receiver(once_each(leaves, answering(receipt))) as port, opened() as deliverer:
        outcomes = await asyncio.gather(*(deliverer.deliver(delivery_to(port, number=n)) for n in range(3)))
        again = await asyncio.gather(*(deliverer.deliver(delivery_to(port, number=n)) for n in range(3)))
    unknown = Unreachable(f"the broker closed the connection (127.0.0.1:{port}); its outcome is unknown")
    assert outcomes[0] == DELIVERED
    assert set(outcomes[1:]) <= {
        unknown,
        Unreachable(f"connection reset by 127.0.0.1:{port} while waiting for the answer; its outcome is unknown"),
    }
    assert again == [DELIVERED] * 3


async def test_a_missing_receipt_ends_one_delivery_and_not_the_connection() -> None:
    def answer(sent: Sent) -> bytes:
        return b"" if number_of(sent) == 0 else receipt(sent)

    counted = Counted(answering(answer))
    async with raw_receiver(counted) as port, opened(timeout=SHORT_TIMEOUT) as deliverer:
        late = asyncio.create_task(deliverer.deliver(delivery_to(port, number=0)))
        while not late.done():
            assert await deliverer.deliver(delivery_to(port, number=1)) == DELIVERED
        outcome = await deliverer.deliver(delivery_to(port, number=2))
    words = f"no answer within 0.5 s (sent to 127.0.0.1:{port}, no receipt came); its outcome is unknown"
    assert late.result() == Unreachable(words)
    assert outcome == DELIVERED
    assert counted.connections == 1


async def test_a_late_receipt_is_nobodys() -> None:
    held: list[Sent] = []

    def answer(sent: Sent) -> bytes:
        if number_of(sent) == 0:
            held.append(sent)
            return b""
        return b"".join([receipt(each) for each in held] + [error("late", each) for each in held] + [receipt(sent)])

    counted = Counted(answering(answer))
    async with raw_receiver(counted) as port, opened(timeout=SHORT_TIMEOUT) as deliverer:
        assert isinstance(await deliverer.deliver(delivery_to(port, number=0)), Unreachable)
        assert await deliverer.deliver(delivery_to(port, number=1)) == DELIVERED
    assert counted.connections == 1


async def test_a_receipt_that_was_not_asked_for_ends_the_session() -> None:
    outcome, port = await outcome_of(answering(lambda sent: b"RECEIPT\nreceipt-id:77\n\n\0"))
    words = "it sent a receipt that was not asked for; its outcome is unknown"
    assert outcome == Unreachable(f"127.0.0.1:{port} does not speak STOMP as it should: {words}")


async def test_a_receipt_that_comes_again_and_again_ends_the_session() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        first = await read_frame(reader)
        writer.write(receipt(first))
        await read_frame(reader)
        while True:
            writer.write(receipt(first) * 1_000)
            await writer.drain()

    async with raw_receiver(script) as port, opened() as deliverer:
        assert await deliverer.deliver(delivery_to(port)) == DELIVERED
        outcome = await deliverer.deliver(delivery_to(port, number=1))
    words = "it sent a receipt for a second time; its outcome is unknown"
    assert outcome == Unreachable(f"127.0.0.1:{port} does not speak STOMP as it should: {words}")


@pytest.mark.parametrize("length", [True, False])
async def test_a_large_error_that_echoes_the_message_is_a_refusal_with_its_reason(length: bool) -> None:
    def answer(sent: Sent) -> bytes:
        echo = b"y" * 300 * KIB
        lines = b"content-length:%d\n" % len(echo) if length else b""
        receipt_id = sent.headers["receipt"].encode()
        return b"ERROR\nmessage:queue is full\nreceipt-id:" + receipt_id + b"\n" + lines + b"\n" + echo + b"\0"

    outcome, _ = await outcome_of(answering(answer))
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("the broker refused the message: queue is full")


@pytest.mark.parametrize("beats", ["0, 0", " 0 ,\t0 ", "10000, 10000"])
async def test_blanks_in_a_heart_beat_header_are_taken(beats: str) -> None:
    greeting = f"CONNECTED\nversion:1.2\nheart-beat:{beats}\n\n\0".encode()
    outcome, _ = await outcome_of(answering(receipt, greeting))
    assert outcome == DELIVERED


async def test_many_line_ends_before_a_receipt_are_passed_over() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        sent = await read_frame(reader)
        for _ in range(100):
            writer.write(b"\n\r\n" * 100_000)
            await writer.drain()
        writer.write(receipt(sent))
        await read_frame(reader)

    outcome, _ = await outcome_of(script)
    assert outcome == DELIVERED


async def test_a_connection_that_answers_nothing_is_opened_again() -> None:
    counted = Counted(once_each(answering(lambda sent: b""), answering(receipt)))
    async with raw_receiver(counted) as port, opened(timeout=SHORT_TIMEOUT) as deliverer:
        mute = await asyncio.gather(
            *(deliverer.deliver(delivery_to(port, number=n)) for n in range(stomp_session.SUSPECT_AFTER))
        )
        outcome = await deliverer.deliver(delivery_to(port))
    assert all(isinstance(each, Unreachable) and "no receipt came" in each.reason for each in mute)
    assert outcome == DELIVERED
    assert counted.connections == 2


async def test_a_peer_without_signs_of_life_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stomp_session, "HEART_BEAT_MS", 100)
    greeting = b"CONNECTED\nversion:1.2\nheart-beat:100,100\n\n\0"
    outcome, port = await outcome_of(answering(lambda sent: b"", greeting))
    assert outcome == Unreachable(
        f"the connection to 127.0.0.1:{port} was given up (no sign of life for 0 s); its outcome is unknown"
    )


async def test_signs_of_life_are_sent_and_keep_a_slow_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stomp_session, "HEART_BEAT_MS", 100)
    beats = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal beats
        await greet(reader, writer, b"CONNECTED\nversion:1.2\nheart-beat:100,100\n\n\0")
        sent = await read_frame(reader)
        for _ in range(10):
            writer.write(b"\n")
            await asyncio.sleep(0.05)
        writer.write(receipt(sent))
        beats = (await reader.readuntil(b"DISCONNECT")).count(b"\n")

    outcome, _ = await outcome_of(slow)
    await asyncio.sleep(0)
    assert outcome == DELIVERED
    assert beats >= 5


async def test_an_idle_connection_is_closed_with_a_good_bye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stomp_session, "IDLE_SECONDS", 0.1)
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(receipt(await read_frame(reader)))
        assert (await read_frame(reader)).command == "DISCONNECT"
        assert await reader.read() == b""
        closed.set()

    counted = Counted(script)
    async with raw_receiver(counted) as port, opened() as deliverer:
        assert await deliverer.deliver(delivery_to(port)) == DELIVERED
        await asyncio.wait_for(closed.wait(), PATIENCE)
        closed.clear()
        assert await deliverer.deliver(delivery_to(port)) == DELIVERED
        await asyncio.wait_for(closed.wait(), PATIENCE)
    assert counted.connections == 2


async def test_an_idle_connection_that_nobody_reads_is_left_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stomp_session, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(connection, "LEAVE_SECONDS", 0.1)
    lost = asyncio.Event()
    original = connection.StompConnection.connection_lost

    def recording(self: connection.StompConnection, exc: Exception | None) -> None:
        original(self, exc)
        lost.set()

    monkeypatch.setattr(connection.StompConnection, "connection_lost", recording)

    async def stops_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await asyncio.Event().wait()

    async with raw_receiver(stops_reading) as port, opened(timeout=0.2) as deliverer:
        much = replace(delivery_to(port), data=b'{"text":"' + b"x" * 8 * MIB + b'"}')
        assert isinstance(await deliverer.deliver(much), Unreachable)
        await asyncio.wait_for(lost.wait(), PATIENCE)


async def test_a_cancelled_delivery_takes_no_other_with_it() -> None:
    dialled, released = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.set()
        await released.wait()
        await answering(receipt)(reader, writer)

    async with raw_receiver(script) as port, opened() as deliverer:
        first, second = (asyncio.create_task(deliverer.deliver(delivery_to(port, number=n))) for n in range(2))
        await dialled.wait()
        first.cancel()
        released.set()
        assert await second == DELIVERED
    assert first.cancelled()


async def test_closing_the_deliverer_answers_those_who_wait() -> None:
    sent, dialled = asyncio.Event(), asyncio.Event()

    def unanswered(_: Sent) -> bytes:
        sent.set()
        return b""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        dialled.set()
        await silent(reader, writer)

    async with raw_receiver(answering(unanswered)) as port, raw_receiver(mute) as other, opened() as deliverer:
        waiting = [asyncio.create_task(deliverer.deliver(delivery_to(where))) for where in (port, other)]
        await sent.wait()
        await dialled.wait()
        await deliverer.close()
        outcomes = [await each for each in waiting]
    assert outcomes == [
        Unreachable("this worker stopped; its outcome is unknown"),
        Unreachable("this worker stopped"),
    ]


# --- pressure


async def test_a_broker_that_stops_reading_holds_the_senders_and_grows_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stomp_session, "SUSPECT_AFTER", 1_000)  # else they count against the next connection

    async def stops_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await asyncio.Event().wait()

    body = b'{"text":"' + b"x" * 100_000 + b'"}'
    async with raw_receiver(stops_reading) as port, opened(timeout=4.0) as deliverer:
        given = [replace(delivery_to(port, number=n), data=body) for n in range(400)]
        tracemalloc.start()
        try:
            outcomes = await asyncio.gather(*(deliverer.deliver(one) for one in given))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert set(outcomes) == {
        Unreachable(f"no answer within 4 s (127.0.0.1:{port} takes no more; nothing was sent)"),
        Unreachable(f"no answer within 4 s (sent to 127.0.0.1:{port}, no receipt came); its outcome is unknown"),
    }
    # 40 MB were to be sent; what is held is what the sockets hold, and a little more.
    assert peak < 8 * MIB


async def test_messages_without_a_receipt_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_PENDING", 5)
    most = waiting = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most, waiting
        await greet(reader, writer)

        async def confirm(sent: Sent) -> None:
            nonlocal waiting
            await asyncio.sleep(0.02)
            waiting -= 1
            writer.write(receipt(sent))

        async with asyncio.TaskGroup() as group:
            while (sent := await read_frame(reader)).command == "SEND":
                waiting += 1
                most = max(most, waiting)
                group.create_task(confirm(sent))

    async with raw_receiver(script) as port, opened() as deliverer:
        outcomes = await asyncio.gather(*(deliverer.deliver(delivery_to(port, number=n)) for n in range(50)))
    assert outcomes == [DELIVERED] * 50
    assert most == 5


async def test_silent_brokers_make_no_other_wait() -> None:
    async with (
        raw_receiver(silent) as mute,
        raw_receiver(answering(receipt)) as quick,
        opened(timeout=2 * PATIENCE) as deliverer,
    ):
        hanging = [
            asyncio.create_task(deliverer.deliver(delivery_to(mute, username=f"user-{n % 50}"))) for n in range(300)
        ]
        await asyncio.sleep(0)
        outcome = await asyncio.wait_for(deliverer.deliver(delivery_to(quick)), PATIENCE)
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    assert outcome == DELIVERED


async def test_a_broker_that_refuses_is_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "BACKOFF", Backoff(first=3600.0, longest=3600.0))
    counted = Counted(speaking(error("no")))
    outcomes: list[Outcome] = []
    async with raw_receiver(counted) as port, opened(timeout=SHORT_TIMEOUT) as deliverer:
        for _ in range(3):
            outcomes += await asyncio.gather(*(deliverer.deliver(delivery_to(port)) for _ in range(20)))
    assert all("the broker refused the login: no" in outcome.reason for outcome in outcomes)  # type: ignore[union-attr]
    assert counted.connections == 1


async def test_which_accounts_worked_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_REMEMBERED", 5)
    async with opened() as deliverer:
        for n in range(20):
            await deliverer.deliver(delivery_to("stomp://10.0.0.1", username=f"user-{n}"))
        assert deliverer._pool is not None
        assert len(deliverer._pool._endpoints) == 5


# --- a real broker


async def test_a_frozen_broker_is_noticed_and_costs_nobody_else(broker: ActiveServer) -> None:
    who: dict[str, Any] = {"username": "tester", "password": "s3cret"}
    async with raw_receiver(answering(receipt)) as quick, opened(timeout=1.0) as deliverer:
        # A busy machine's first login may take longer than the short timeout.
        while await deliverer.deliver(delivery_to(broker.plain, **who)) != DELIVERED:
            pass
        broker.freeze()
        stuck = [asyncio.create_task(deliverer.deliver(delivery_to(broker.plain, number=n, **who))) for n in range(100)]
        assert await asyncio.wait_for(deliverer.deliver(delivery_to(quick)), PATIENCE) == DELIVERED
        outcomes: list[Any] = await asyncio.gather(*stuck)
        frozen = await deliverer.deliver(delivery_to(broker.plain, **who))
        broker.thaw()
        mended = await deliverer.deliver(delivery_to(broker.plain, **who))
        for _ in range(5):
            if mended == DELIVERED:
                break
            mended = await deliverer.deliver(delivery_to(broker.plain, **who))
    words = f"no answer within 1 s (sent to 127.0.0.1:{broker.plain}, no receipt came); its outcome is unknown"
    assert outcomes[0] == Unreachable(words)
    # The first few give the connection up for all.
    given_up = re.compile(
        r"the connection to \S+ was given up \(no receipt for \d+ messages in a row\); its outcome is unknown"
    )
    assert all(outcome == outcomes[0] or given_up.fullmatch(outcome.reason) for outcome in outcomes)
    assert frozen == Unreachable(f"no answer within 1 s (connected to 127.0.0.1:{broker.plain}, logging in)")
    assert mended == DELIVERED


def outstanding(deliverer: deliverer_module.StompDeliverer) -> int:
    """Messages that were sent, and have no receipt."""
    assert deliverer._pool is not None
    connections = [each.connection for each in deliverer._pool._endpoints.values()]
    return sum(each._session.pending for each in connections if each is not None)


@pytest.mark.parametrize("scheme", ["stomp", "stomp+ssl"])
async def test_a_broker_killed_with_a_hundred_receipts_outstanding_leaves_them_unknown(
    broker: ActiveServer, scheme: str
) -> None:
    where = f"{scheme}://localhost:{broker.tls if scheme == 'stomp+ssl' else broker.plain}"
    given = [delivery_to(where, number=n, username="tester", password="s3cret") for n in range(100)]
    async with opened(tls_ca_file=str(broker.files.ca)) as deliverer:
        assert await deliverer.deliver(given[0]) == DELIVERED
        broker.freeze()
        waiting = [asyncio.create_task(deliverer.deliver(one)) for one in given]
        await eventually(lambda: outstanding(deliverer) == len(given), "all are sent")
        assert not any(task.done() for task in waiting)
        await asyncio.to_thread(broker.kill)
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
        # A kill is a reset or an end, as the kernel has it.
        assert all(isinstance(outcome, Unreachable) for outcome in outcomes)
        reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, Unreachable)}
        assert len(reasons) == 1
        assert reasons.pop().endswith("; its outcome is unknown")
        down = await deliverer.deliver(given[0])
        assert isinstance(down, Unreachable)
        assert "connection refused by" in down.reason
        await asyncio.to_thread(broker.start)
        again = await asyncio.gather(*(deliverer.deliver(one) for one in given))
    assert again == [DELIVERED] * 100
    messages = await asyncio.to_thread(read_all, broker.plain, "/queue/test.a")
    assert {message.headers["event_id"] for message in messages} == {f"event-{n}" for n in range(100)}


class Counted:
    """A script that counts its connections."""

    def __init__(self, script: Script) -> None:
        self.connections = 0
        self._script = script

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._script(reader, writer)
