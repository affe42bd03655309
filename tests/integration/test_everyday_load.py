"""The benchmark of everyday load: its producer waits for no answer, and a latency counts from the schedule."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from threading import Thread

import pytest

from tests.benchmarks.everyday import EverydayLoad, EverydayWindow
from tests.benchmarks.http_open_loop import HttpProducer
from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.sink import END_OF_HEAD, request_of

_HOST = "127.0.0.1"
EVENTS = 8


class Api:
    """Answers nobody until it has so many requests, and then everybody alike."""

    def __init__(self, answer: bytes, patient_until: int) -> None:
        self.bodies: list[bytes] = []
        self._answer, self._until = answer, patient_until
        self._all = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while True:
            head = await reader.readuntil(END_OF_HEAD)
            self.bodies.append(await reader.readexactly(request_of(head)[1]))
            if len(self.bodies) >= self._until:
                self._all.set()
            await self._all.wait()
            writer.write(b"HTTP/1.1 " + self._answer + b"\r\nContent-Length: 2\r\n\r\n{}")

    async def close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        # The loop closes their sockets in its next turn.
        await asyncio.sleep(0)


@contextmanager
def listening(answer: bytes, patient_until: int = 1) -> Iterator[tuple[Api, int]]:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[Api, int, asyncio.Server]:
        api = Api(answer, patient_until)
        server = await asyncio.start_server(api.serve, _HOST, 0)
        return api, server.sockets[0].getsockname()[1], server

    api, port, server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield api, port
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(api.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def fed(port: int) -> list[int]:
    producer = HttpProducer(port, "a-token", "a-store")
    try:
        done = producer.feed(1000, EVENTS / 1000)
    finally:
        producer.close()
    return [done.events[0], done.till - done.since]


def test_events_are_posted_while_none_before_them_is_answered() -> None:
    # A producer that waits for an answer would wait for ever.
    with listening(b"202 Accepted", patient_until=EVENTS) as (api, port):
        assert fed(port) == [EVENTS, EVENTS * 1_000_000]
        assert len(api.bodies) == EVENTS


def test_an_id_names_the_time_for_which_its_event_was_scheduled() -> None:
    with listening(b"202 Accepted") as (api, port):
        fed(port)
        scheduled = sorted(int(body.split(b'"id":"', 1)[1].split(b"-")[0]) for body in api.bodies)
    steps = {after - before for before, after in pairwise(scheduled)}
    assert steps == {1_000_000}


def test_figures_with_refused_events_are_worthless() -> None:
    with listening(b"429 Too Many Requests") as (_, port), pytest.raises(DeliveriesLost, match="429"):
        fed(port)


def test_the_table_has_medians_and_no_latency_of_an_idle_fleet() -> None:
    windows = [EverydayWindow(each, 2, 3, 0.1, 0.2, 0.05) for each in (1.0, 9.0, 2.0)]
    lines = EverydayLoad("always", {"this": {0: windows, 200: windows}}).lines()
    idle, busy = lines[2].split(), lines[3].split()
    assert idle[1:5] == ["idle", "-", "-", "-"]
    assert busy[1:6] == ["200", "2.0", "(1.0", "-", "9.0)"]
