"""Clients that are slow, greedy or silent, as sockets: each is closed in time, and costs nobody else an answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest
from yarl import URL

from tests.api_client import Api, Serve
from tests.waiting import PATIENCE
from worker.http_server.limits import HEAD_BYTES, HttpLimits

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LOGIN = b"POST /oauth/access_token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
LONG = 10 * PATIENCE


class Line:
    """A connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, raw: bytes) -> None:
        self._writer.write(raw)

    async def close(self) -> None:
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def asked_for_its_body(self) -> None:
        async with asyncio.timeout(PATIENCE):
            assert b" 100 " in await self._reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> bytes:
        """The head of the next answer."""
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await self._reader.readexactly(int(length.partition(b":")[2]))
        return head

    async def closed(self) -> bytes:
        """What came before the API closed it."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    async def send_until_closed(self, piece: bytes, pause: float) -> None:
        """Goes on sending, and reads nothing."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    self._writer.write(piece)
                    await self._writer.drain()
                    await asyncio.sleep(pause)
            except ConnectionError:
                return


Dial = Callable[[Api], Awaitable[Line]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    async with AsyncExitStack() as stack:

        async def connect(api: Api) -> Line:
            url = URL(api.url)
            reader, writer = await asyncio.open_connection(url.host, url.port)
            line = Line(reader, writer)
            stack.push_async_callback(line.close)
            return line

        yield connect


def limits(
    connections: int = 100, *, head: float = LONG, idle: float = LONG, write: float = LONG, write_bytes: int = 16_384
) -> HttpLimits:
    return HttpLimits(connections, head, idle, write, write_bytes)


@pytest.mark.parametrize("raw", [b"", b"G", b"\r\n", REQUEST[:-2], REQUEST[:-4] + b"\r\nX: " + b"y" * 5_000])
async def test_a_head_that_does_not_end_is_not_waited_for(serve: Serve, dial: Dial, raw: bytes) -> None:
    line = await dial(await serve(limits(head=0.2)))
    line.send(raw)

    assert await line.closed() == b""


@pytest.mark.parametrize("piece", [b"X", b"\r\n"])
async def test_a_head_that_trickles_is_not_waited_for(serve: Serve, dial: Dial, piece: bytes) -> None:
    line = await dial(await serve(limits(head=0.2)))
    if piece == b"X":
        line.send(REQUEST[:-2])

    await line.send_until_closed(piece, 0.01)


@pytest.mark.parametrize("rest", [b"", REQUEST[:-2], b"POST /x"])
async def test_a_further_request_has_its_time_too(serve: Serve, dial: Dial, rest: bytes) -> None:
    line = await dial(await serve(limits(head=0.2, idle=LONG if rest else 0.2)))
    line.send(REQUEST + rest)
    assert b" 200 " in await line.answer()

    assert await line.closed() == b""


async def test_a_client_may_be_idle_between_requests_for_longer_than_a_head_takes(serve: Serve, dial: Dial) -> None:
    api = await serve(limits(head=0.2))
    line = await dial(api)
    for _ in range(2):
        line.send(REQUEST)
        assert b" 200 " in await line.answer()
        silent = await dial(api)
        assert await silent.closed() == b""


async def test_a_client_that_pipelines_and_never_reads_is_closed(serve: Serve, dial: Dial) -> None:
    api = await serve(limits(write=0.3))
    line = await dial(api)
    request = (
        b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (await api.token()).encode()
    )

    await line.send_until_closed(request * 20, 0)

    assert (await api.client().get("/healthz")).status == 200


async def test_a_head_that_is_too_large_is_refused_in_the_apis_form(serve: Serve, dial: Dial) -> None:
    line = await dial(await serve(limits()))
    line.send(REQUEST[:-2] + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 8_000) for number in range(9)))

    head = await line.answer()

    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"application/json" in head
    assert b"Server: edw\r\n" in head
    await line.send_until_closed(b"y" * HEAD_BYTES, 0)


async def test_a_large_head_behind_a_request_in_work_ends_the_connection(serve: Serve, dial: Dial) -> None:
    line = await dial(await serve(limits()))
    line.send(REQUEST)
    assert b" 200 " in await line.answer()
    line.send(REQUEST[:-2])

    await line.send_until_closed(b"X: " + b"y" * 8_000 + b"\r\n", 0)


async def test_at_the_cap_the_oldest_that_is_idle_gives_way(serve: Serve, dial: Dial) -> None:
    api = await serve(limits(connections=8))
    lines = [await dial(api) for _ in range(8)]
    for line in lines:
        line.send(REQUEST)
        assert b" 200 " in await line.answer()

    newest = await dial(api)
    newest.send(REQUEST)

    assert b" 200 " in await newest.answer()
    assert await lines[0].closed() == b""
    lines[1].send(REQUEST)
    assert b" 200 " in await lines[1].answer()


async def test_at_the_cap_a_body_in_the_middle_gives_way_and_work_does_not(serve: Serve, dial: Dial) -> None:
    """Anybody may begin to log in."""
    api = await serve(limits(connections=8))
    lines = [await dial(api) for _ in range(8)]
    for line in lines:
        line.send(
            b"POST /oauth/access_token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
        )
        await line.asked_for_its_body()

    newest = await dial(api)
    newest.send(REQUEST)

    assert b" 200 " in await newest.answer()
    assert await lines[0].closed() == b""


async def test_many_who_wait_for_nothing_keep_nobody_from_an_answer(serve: Serve, dial: Dial) -> None:
    api = await serve(limits(connections=8))
    for number in range(100):
        (await dial(api)).send((b"", b"GET ", REQUEST[:-2])[number % 3])

    somebody = await dial(api)
    somebody.send(REQUEST)

    assert b" 200 " in await somebody.answer()
