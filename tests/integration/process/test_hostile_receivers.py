"""Hostile receivers, all at once, beside a healthy one: each leaves its log, and costs no memory and nobody else."""

import gzip
from contextlib import AsyncExitStack

import psutil

from config.settings import Settings
from tests.contract.receivers import Script, answering, raw_receiver, repeating, resetting, silent
from tests.fleet.processes import StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import order_paid
from tests.waiting import eventually
from worker.ledger import Ledger
from worker.publisher import Publisher

EVENTS = 20
TOO_LATE = "answer within 1 s"
#: Of what a worker has when it starts, it may need so much more (bytes).
GROWTH = 96 * 1024 * 1024

BOMB = gzip.compress(b"\0" * 50 * 1024 * 1024)
#: What a receiver does → what its log must say.
HOSTILE: dict[str, tuple[Script, str]] = {
    "never answers": (silent, "no answer within 1 s (connected, waiting for it)"),
    "one byte at a time": (
        repeating(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x", 0.2),
        "no complete answer within 1 s (reading its body)",
    ),
    "endless headers": (repeating(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 500 + b"\r\n"), "too many headers"),
    "endless body": (repeating(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 4096), "500 Internal Server Error"),
    "gzip bomb": (
        answering(
            b"HTTP/1.1 400 No\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB)
            + BOMB
        ),
        "400 Bad Request",
    ),
    "wrong length": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok"), "the answer broke off"),
    "reset": (resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok"), "Received a status code (200 OK), but"),
    "redirect": (
        answering(
            b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
        ),
        "redirects are not followed",
    ),
    "no http": (answering(b"220 smtp.example ESMTP\r\n"), "not HTTP"),
    "unreadable": (answering(b"HTTP/1.1 422 No\r\nConnection: close\r\nContent-Length: 5\r\n\r\na\0\xff\x1bb"), "422"),
}


async def test_hostile_receivers_leave_their_logs_and_harm_nobody(
    start_worker: StartWorker, receiver: Receiver, register: Register, ledger: Ledger, settings: Settings
) -> None:
    async with AsyncExitStack() as stack:
        integrations = {}
        for name, (script, _) in HOSTILE.items():
            port = await stack.enter_async_context(raw_receiver(script))
            made = await register(name=name, configuration={"url": f"http://127.0.0.1:{port}/hook"})
            integrations[name] = made.id
        await register(name="healthy")
        worker = await start_worker(EDW_WEBHOOK_TIMEOUT="1s", EDW_RETRY_SCHEDULE="1h").ready()
        process = psutil.Process(worker.pid)
        before = process.memory_info().rss
        with Publisher(settings) as publisher:
            for number in range(EVENTS):
                publisher.publish(order_paid(id=f"e-{number}"))
        await eventually(receiver.got(EVENTS), "the healthy receiver has everything")
        for name, (_, words) in HOSTILE.items():

            async def logged(integration: str = integrations[name]) -> bool:
                return (await ledger.logs.of_integration(integration, 0, 1)).total == EVENTS

            await eventually(logged, f"every attempt at the one that does {name!r} is logged")
            logs = (await ledger.logs.of_integration(integrations[name], 0, EVENTS)).items
            assert {log.succeeded for log in logs} == {False}
            details = [log.error_detail for log in logs]
            # On a busy machine one or the other of them may come too late to do its worst.
            assert any(words in each for each in details), (name, details[0])
            assert all(words in each or TOO_LATE in each for each in details), (name, details)
            assert not any("\0" in log.body or "\x1b" in log.body for log in logs)
        assert process.memory_info().rss - before < GROWTH
