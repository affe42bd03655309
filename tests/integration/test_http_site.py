"""The site that the API and the metrics port share, with handlers of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.waiting import PATIENCE, eventually
from worker.http_server.limits import HttpLimits
from worker.http_server.site import HttpSite

HOST = "127.0.0.1"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def served(app: web.Application, limits: HttpLimits) -> AsyncIterator[tuple[HttpSite, int]]:
    site = HttpSite("test", app, limits, lambda status, detail: web.Response(status=status, text=detail))
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
