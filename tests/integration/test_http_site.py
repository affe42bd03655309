"""The site that the API and the metrics port share, with handlers of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.waiting import PATIENCE, eventually
from worker.http_server.limits import HttpLimits
from worker.http_server.site import Direct, HttpSite
from worker.http_server.whole_answer import WholeAnswer

HOST = "127.0.0.1"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def served(
    app: web.Application, limits: HttpLimits, direct: Mapping[tuple[str, str], Direct] | None = None
) -> AsyncIterator[tuple[HttpSite, int]]:
    def refuse(status: int, detail: str) -> web.Response:
        return web.Response(status=status, text=detail)

    site = HttpSite("test", app, limits, refuse, direct=direct)
    await site.open()
    try:
        await site.listen(HOST, 0)
        yield site, site.addresses[0][1]
    finally:
        await site.close()


async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What came before the site closed the connection."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_work_under_way_is_finished_and_a_newcomer_at_the_cap_is_closed() -> None:
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def work(_: web.Request) -> web.Response:
        begun.release()
        await go.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", work)
    async with served(app, HttpLimits(2)) as (site, port):
        lines = [await asyncio.open_connection(HOST, port) for _ in range(2)]
        for _, writer in lines:
            writer.write(REQUEST)
        async with asyncio.timeout(PATIENCE):
            for _ in lines:
                await begun.acquire()

        assert await closed(*await asyncio.open_connection(HOST, port)) == b""
        assert len(site.connections) == 2

        go.set()
        for reader, writer in lines:
            async with asyncio.timeout(PATIENCE):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.transport.abort()


async def test_a_client_that_takes_too_little_of_a_long_answer_is_closed() -> None:
    async def long(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (32 << 20))

    app = web.Application()
    app.router.add_get("/", long)
    async with served(app, HttpLimits(10, write_seconds=0.3)) as (site, port):
        reader, writer = await asyncio.open_connection(HOST, port, limit=1)
        writer.write(REQUEST)
        async with asyncio.timeout(PATIENCE):
            await reader.read(10)
        await eventually(lambda: len(site.connections) == 0, "the site has closed it")
        writer.transport.abort()


async def test_a_failure_of_a_handler_names_no_version_and_ends_the_connection() -> None:
    async def fail(_: web.Request) -> web.Response:
        raise TimeoutError

    app = web.Application()
    app.router.add_get("/", fail)
    async with served(app, HttpLimits(10)) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(REQUEST)
        answer = await closed(reader, writer)

    assert answer.startswith(b"HTTP/1.1 504")
    assert b"\r\nServer: edw\r\n" in answer


class Recorded:
    """A connection's transport that keeps every write."""

    def __init__(self, line: Any) -> None:
        self._line = line
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))
        self._line.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)


async def answered(reader: asyncio.StreamReader) -> tuple[str, list[str], bytes]:
    """The next answer: its status, its headers in alphabetical order but for the date, and its body."""
    async with asyncio.timeout(PATIENCE):
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        fields = [name.lower() + ":" + value for name, _, value in (line.partition(":") for line in lines)]
        length = next((int(each.partition(":")[2]) for each in fields if each.startswith("content-length:")), 0)
        return status, sorted(each for each in fields if not each.startswith("date:")), await reader.readexactly(length)


@asynccontextmanager
async def both_ways(answer: WholeAnswer) -> AsyncIterator[tuple[HttpSite, int]]:
    """A site that gives the answer past its router, at /whole, and as a response of aiohttp's, at /routed."""

    async def whole(_: web.Request) -> WholeAnswer:
        return answer

    async def routed(_: web.Request) -> web.Response:
        return answer.response()

    app = web.Application()
    app.router.add_route("*", "/routed", routed)
    direct = {(method, "/whole"): whole for method in ("GET", "HEAD", "POST")}
    async with served(app, HttpLimits(10), direct) as found:
        yield found


@pytest.mark.parametrize("body", [b"", b'{"a":1}', b"x" * 100_000], ids=["empty", "short", "long"])
@pytest.mark.parametrize("status", [200, 202, 204, 207, 304, 404, 429, 503])
async def test_a_whole_answer_is_what_aiohttp_would_have_written(status: int, body: bytes) -> None:
    kinds = ["GET {} HTTP/1.1", "HEAD {} HTTP/1.1", "GET {} HTTP/1.1\r\nConnection: close", "GET {} HTTP/1.0"]
    kinds += ["GET {} HTTP/1.0\r\nConnection: keep-alive"]
    # The length of what a HEAD leaves out cannot be read here, so its answer has none.
    answer = WholeAnswer(status, {"ETag": '"7"', "Content-Type": "application/json", "Retry-After": "5"}, body)
    async with both_ways(answer) as (_, port):
        for kind in kinds if not body else [each for each in kinds if not each.startswith("HEAD")]:
            found = []
            for path in ("/whole", "/routed"):
                reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 20)
                writer.write(kind.format(path).encode() + b"\r\nHost: x\r\n\r\n")
                found.append(await answered(reader))
                writer.transport.abort()
            assert found[0] == found[1], kind


async def test_a_whole_answer_is_one_write_and_keeps_the_connection() -> None:
    async with both_ways(WholeAnswer(202, {"Content-Type": "application/json"}, b"{}")) as (site, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        await eventually(lambda: len(site.connections) == 1, "the site has the connection")
        (connection,) = site.connections
        recorded: Any = Recorded(connection.transport)  # type: ignore[attr-defined]  # of aiohttp's connections
        connection.transport = recorded  # type: ignore[attr-defined]  # as above
        for number in range(1, 4):
            writer.write(b"POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            assert (await answered(reader))[0] == "HTTP/1.1 202 Accepted"
            assert len(recorded.writes) == number
        writer.transport.abort()


async def test_a_client_that_reads_no_whole_answers_is_closed() -> None:
    async with both_ways(WholeAnswer(200, {}, b"x" * (32 << 20))) as (site, port):
        site._limits = HttpLimits(10, write_seconds=0.3)
        reader, writer = await asyncio.open_connection(HOST, port, limit=1)
        writer.write(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await reader.read(10)
        await eventually(lambda: len(site.connections) == 0, "the site has closed it")
        writer.transport.abort()


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
def test_no_header_of_a_whole_answer_ends_its_line(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        WholeAnswer(200, {"X": value}).written()
