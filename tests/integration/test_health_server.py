"""The endpoint of a process: its metrics, how it is, and what happens where the port is taken."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
from structlog.testing import capture_logs

from tests.counterparts.ports import free_port
from worker.telemetry.health_server import Exposition, serving
from worker.telemetry.metrics import build_info
from worker.telemetry.worker_health import STALE_TURN_SECONDS, WorkerHealth

HOST = "127.0.0.1"
#: A busy machine may take its time (seconds).
PATIENCE = 45.0


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}{path}") as answer:
        return answer.status, await answer.text()


def port_of(lines: Sequence[Mapping[str, Any]]) -> int:
    (line,) = [line for line in lines if line["event"] == "probe"]
    return int(str(line["metrics"]).rpartition(":")[2].removesuffix("/metrics"))


@dataclass
class Worker:
    """Timers and deliveries of a worker, as its health sees them."""

    swept_at: float
    turned_at: float
    answered_at: float = 0.0
    pause: float = 1.0
    in_flight: int = 3
    draining: bool = False


async def test_a_worker_shows_how_it_is_and_a_process_without_worker_health_only_its_metrics() -> None:
    build_info()
    hangs = Worker(0.0, monotonic() - STALE_TURN_SECONDS - 1)
    health = WorkerHealth()
    health.begin(hangs, hangs)
    with capture_logs() as lines:
        async with serving(HOST, (0,), health):
            status, text = await get(port_of(lines), "/healthz")
            assert (status, '"status":"stale"' in text) == (503, True)
            status, text = await get(port_of(lines), "/readyz")
            assert (status, '"status":"red"' in text) == (503, True)
            status, text = await get(port_of(lines), "/metrics")
            assert status == 200
            assert 'edw_build_info{python="3.' in text
            assert "edw_events_accepted_total" in text
            assert not [line for line in text.splitlines() if "_created" in line], "each series is there once"
    with capture_logs() as lines:
        async with serving(HOST, (0,)):
            assert (await get(port_of(lines), "/healthz"))[0] == 404


async def test_processes_that_want_the_same_port_get_the_next_ones_and_say_which() -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(3):
            with capture_logs() as lines:
                await stack.enter_async_context(serving(HOST, range(port, port + 100)))
            found.append(port_of(lines))
            assert lines[-1]["log_level"] == ("info" if found[-1] == port else "warning")
        assert found[0] == port
        assert sorted(set(found)) == found, "each has one of its own"
        for each in found:
            assert (await get(each, "/metrics"))[0] == 200


async def test_an_address_that_is_not_ours_stops_nobody() -> None:
    with capture_logs() as lines:
        async with serving("192.0.2.1", (0,)):
            pass
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("no probe", "warning")


def test_the_metrics_are_made_again_only_as_often_as_it_costs_a_small_share_of_the_time() -> None:
    now, made = 100.0, 0

    def generate() -> bytes:
        nonlocal now, made
        now, made = now + 0.5, made + 1
        return b"%d" % made

    exposition = Exposition(generate, lambda: now)
    assert exposition.text() == b"1"
    now += 4.4
    assert [exposition.text() for _ in range(1_000)] == [b"1"] * 1_000
    now += 0.2
    assert exposition.text() == b"2"


async def test_a_body_that_nobody_reads_and_a_host_that_is_none_are_refused_without_a_version() -> None:
    with capture_logs() as lines:
        async with serving(HOST, (0,)):
            for raw, status in (
                (b"GET /metrics HTTP/1.1\r\nHost: a@b\r\n\r\n", b"400"),
                (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
                (b"\x16\x03\x01\r\n\r\n", b"400"),
                (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", b"405"),
                (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n", b"200"),
            ):
                reader, writer = await asyncio.open_connection(HOST, port_of(lines))
                writer.write(raw)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.split(maxsplit=2)[1] == status, head
                assert b"\r\nServer: edw\r\n" in head
                # To its end: the connection closes.
                async with asyncio.timeout(PATIENCE):
                    await reader.read()
                writer.close()
                await writer.wait_closed()
