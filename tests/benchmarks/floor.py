"""The floor: aiohttp under uvloop posting the same body to the same sink, keep-alive, and nothing else.

Run as a module (`floor URL`) it says "ready", and then answers the lines that it is sent:

    post COUNT CONCURRENCY   "done", when so many were posted with so many under way at a time
"""

import asyncio
import sys
from pathlib import Path

import aiohttp
import uvloop

from tests.benchmarks.order import CONTENT_TYPE, order_body
from tests.benchmarks.processes import Program, Servant

PATH = "/floor"


class Floor:
    """A contestant: what posting itself costs."""

    name = "floor: aiohttp"
    path = PATH
    redis_server: Program | None = None
    rehearsal = 2000
    step = 1
    fan_out = 1

    def __init__(self, url: str, log: Path) -> None:
        self.program = Servant("the floor", "tests.benchmarks.floor", log, [url])
        #: Requests under way at a time.
        self.concurrency = 50

    def start(self) -> None:
        """Waits until it is ready."""
        self.program.expect()

    def offer(self, count: int) -> None:
        """Has it post."""
        self._done = False
        self.program.write_line(f"post {count} {self.concurrency}")

    def recorded(self) -> bool:
        """True once it has all its answers: it keeps no records."""
        self._done = self._done or self.program.read_line(0) is not None
        return self._done


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, count: int, concurrency: int) -> None:
    turns = iter(range(count))

    async def post_in_turn() -> None:
        for _ in turns:
            async with session.post(url, data=body) as response:
                await response.read()
                if not response.ok:
                    raise RuntimeError(f"the sink answered {response.status}")

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(post_in_turn())


async def _serve(url: str) -> None:
    loop = asyncio.get_running_loop()
    body = order_body(url)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": CONTENT_TYPE}) as session:
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            _, count, concurrency = line.split()
            await _post(session, url, body, int(count), int(concurrency))
            print("done", flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
