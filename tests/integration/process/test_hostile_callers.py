"""Strangers at the ports of a real worker and a real API, while deliveries go on."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import monotonic
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from tests.fleet.ledger_state import logs_of
from tests.fleet.processes import StartApi, StartWorker
from tests.fleet.scene import Register
from tests.fleet.webhook_receiver import Receiver
from tests.samples import issue_token, order_paid
from tests.waiting import PATIENCE, eventually
from worker.domain.api_token import Role
from worker.http_server.limits import raise_descriptor_limit
from worker.ledger import Ledger

#: The limit of open files under which more connections are opened than it allows.
FILES = 1_024
CROWD = 1_100
EVENTS = 20
#: Between two things that a stranger does (seconds).
PAUSE = 1.0
#: What a process may need beyond what it had before (bytes).
GROWTH = 64 * 1024 * 1024

HALF = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: "
BODY = b"POST /oauth/access_token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
BOMB = gzip.compress(b"\0" * (64 << 20), 1)
BOMBING = b"POST /v2/events HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB)
FLOOD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50
#: What strangers send: at once, and again and again.
CALLERS: dict[str, tuple[bytes, bytes]] = {
    "idle": (b"", b""),
    "half sent": (HALF, b""),
    "one byte at a time": (HALF, b"y"),
    "half a body": (BODY, b""),
    "a body, one byte at a time": (BODY, b"y"),
    "pipelining, and reading nothing": (FLOOD, FLOOD),
    "bombs": (BOMBING + BOMB, BOMBING + BOMB),
}


def size_of(kind: str) -> int:
    """How many there are: of those that only wait, more than there are files; of those that send much, a few."""
    return 20 if kind in ("bombs", "pipelining, and reading nothing") else CROWD


@asynccontextmanager
async def crowd(url: str, kind: str, count: int) -> AsyncIterator[None]:
    """So many connections to a process, as long as the block runs; those that it closes are opened anew."""
    raise_descriptor_limit()
    parts = urlsplit(url)
    first, more = CALLERS[kind]
    opened = 0

    async def call() -> None:
        nonlocal opened
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
                opened += 1
                try:
                    writer.write(first)
                    while not writer.transport.is_closing():
                        await asyncio.sleep(PAUSE)
                        writer.write(more)
                        await writer.drain()
                finally:
                    writer.transport.abort()
                    with suppress(OSError):
                        await writer.wait_closed()
            await asyncio.sleep(PAUSE)

    async with AsyncExitStack() as stack:
        callers = [asyncio.create_task(call()) for _ in range(count)]

        async def end() -> None:
            for each in callers:
                each.cancel()
            await asyncio.gather(*callers, return_exceptions=True)

        stack.push_async_callback(end)
        await eventually(lambda: opened >= count, "the crowd is there")
        yield


async def well(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether a probe has its answer."""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with session.get(f"{url}/healthz", timeout=aiohttp.ClientTimeout(total=PATIENCE)) as answer:
            return answer.status == 200
    return False


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as opened:
        yield opened


async def delivered(ledger: Ledger, integration_id: str, count: int) -> bool:
    """Whether so many attempts have ended, every one of them well."""
    logs = await logs_of(ledger, integration_id)
    assert all(log.succeeded for log in logs), [log.error_detail for log in logs if not log.succeeded]
    return len(logs) >= count


@pytest.mark.parametrize("kind", ["idle", "half sent", "one byte at a time", "pipelining, and reading nothing"])
async def test_a_crowd_at_the_metrics_port_takes_nothing_from_deliveries(
    start_worker: StartWorker,
    start_api: StartApi,
    register: Register,
    ledger: Ledger,
    session: aiohttp.ClientSession,
    kind: str,
) -> None:
    integration = await register()
    worker = await start_worker("edw worker", files=FILES).ready()
    api = await start_api().ready()
    headers = {"Authorization": f"Bearer {await issue_token(ledger, Role.PUBLISH)}"}
    process = psutil.Process(worker.pid)
    before = process.memory_info().rss

    async with crowd(worker.probe, kind, size_of(kind)):
        for number in range(EVENTS):
            event = {"data": order_paid(id=f"e-{number}")}
            async with session.post(f"{api.url}/v2/events", json=event, headers=headers) as answer:
                assert answer.status == 202

        async def all_delivered() -> bool:
            return await delivered(ledger, integration.id, EVENTS)

        await eventually(all_delivered, "everything is delivered at the first attempt")
        assert process.num_fds() < FILES / 2

        async def probed() -> bool:
            return await well(session, worker.probe)

        await eventually(probed, "a probe has its answer")
    assert process.memory_info().rss - before < GROWTH
    assert not worker.said("Too many open files")


@pytest.mark.parametrize("kind", list(CALLERS))
async def test_a_crowd_at_the_api_takes_nothing_from_other_callers(
    start_worker: StartWorker,
    start_api: StartApi,
    register: Register,
    receiver: Receiver,
    ledger: Ledger,
    session: aiohttp.ClientSession,
    kind: str,
) -> None:
    integration = await register()
    await start_worker("edw worker").ready()
    api = await start_api(files=FILES).ready()
    headers = {"Authorization": f"Bearer {await issue_token(ledger, Role.PUBLISH)}"}
    process = psutil.Process(api.process.pid)
    before = process.memory_info().rss

    async with crowd(api.url, kind, size_of(kind)):
        for number in range(EVENTS):
            assert await published(session, f"{api.url}/v2/events", headers, f"e-{number}")

        async def all_delivered() -> bool:
            return await delivered(ledger, integration.id, EVENTS)

        await eventually(all_delivered, "everything is delivered at the first attempt")
        assert process.num_fds() < FILES
    assert process.memory_info().rss - before < GROWTH
    assert "Too many open files" not in api.output
    assert "Traceback" not in api.output


async def published(session: aiohttp.ClientSession, url: str, headers: dict[str, str], event_id: str) -> bool:
    """Publishes one event, again where its connection gave way to another one: as clients do, and ids allow."""
    end = monotonic() + PATIENCE
    while monotonic() < end:
        with suppress(aiohttp.ClientConnectionError):
            async with session.post(url, json={"data": order_paid(id=event_id)}, headers=headers) as answer:
                return answer.status == 202
    return False
