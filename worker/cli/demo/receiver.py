"""The demo's receiver: an HTTP server on loopback that refuses the first request and accepts the others."""

from asyncio import Queue
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from aiohttp import web

#: The first answer has no Retry-After, so that only the schedule sets the pause.
FIRST_ANSWER = (503, "the warehouse is closed for a moment")
LATER_ANSWER = (200, "thank you")


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request and its answer's status; `at` is in seconds of the monotonic clock."""

    headers: Mapping[str, str]
    body: bytes
    status: int
    at: float


@dataclass(frozen=True, slots=True)
class Receiver:
    """A running receiver."""

    url: str
    #: The requests in order of arrival.
    requests: "Queue[ReceivedRequest]"


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver on a free loopback port for the block."""
    requests: Queue[ReceivedRequest] = Queue()
    count = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal count
        body = await request.read()
        status, text = LATER_ANSWER if count else FIRST_ANSWER
        count += 1
        requests.put_nowait(ReceivedRequest(dict(request.headers), body, status, monotonic()))
        return web.Response(status=status, text=text)

    application = web.Application(client_max_size=1 << 24)
    application.router.add_post("/hooks/orders", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield Receiver(f"http://{host}:{port}/hooks/orders", requests)
    finally:
        await runner.cleanup()
