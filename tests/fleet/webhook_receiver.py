"""A webhook receiver on loopback that answers as a test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Received:
    """One request that the receiver got."""

    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    path: str


@dataclass
class Receiver:
    """A receiver. `answers` are given in turn, then 200; `hold` keeps requests unanswered.

    `always` is what a path answers each time; every answer takes `pause` seconds.
    """

    url: str = ""
    answers: list[int] = field(default_factory=list)
    always: dict[str, int] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    hold: asyncio.Event | None = None
    pause: float = 0.0
    #: Requests of events of these ids are kept unanswered, each until its own event.
    holds: dict[str, asyncio.Event] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = await request.json()
        self.received.append(Received(dict(request.headers), body, raw, request.path))
        if self.hold is not None:
            await self.hold.wait()
        if body.get("id") in self.holds:
            await self.holds[body["id"]].wait()
        await asyncio.sleep(self.pause)
        status = self.always.get(request.path) or (self.answers.pop(0) if self.answers else 200)
        return web.Response(status=status, text="ok" if status == 200 else "try again")

    def got(self, count: int) -> Callable[[], bool]:
        """Return the condition that so many requests came."""
        return lambda: len(self.received) >= count

    def release(self) -> None:
        """Answer everything that is kept."""
        for held in (self.hold, *self.holds.values()):
            if held is not None:
                held.set()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver on a port of its own."""
    found = Receiver()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/{tail:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        found.release()
        await runner.cleanup()
