"""The receivers' process: answers as badly as receivers do, and notes every request. It is never killed.

Run as a module it serves on loopback, says its port, and ends when its input does.
"""

import asyncio
import signal
import sys
from pathlib import Path
from zlib import crc32

import msgspec
from aiohttp import web

from tests.chaos.records import Journal
from worker.cli.parent_watch import watch_parent

#: What each integration observes. Its name is the path that it is posted to, and says what its receiver is like.
OBSERVES = {
    "steady": ("order.paid", "order.refunded"),
    "flaky": ("order.paid",),
    "slow": ("order.refunded",),
}
#: What all integrations of the second store observe; their receivers answer at once.
CROWD_TYPE = "customer.updated"


def answer_of(integration: str, job_id: str, attempt: int) -> tuple[int, float]:
    """The status of an answer, and after how many seconds it comes. The same attempt always has the same one."""
    chance = crc32(f"{job_id}:{attempt}".encode()) % 1000
    match integration:
        case "flaky" if chance < 60:
            return 500, 0.0
        # Slow enough to be in flight when its worker is killed, and not so slow that its lane is suspect.
        case "slow" if chance < 200:
            return 200, 0.2 + chance / 200
        case "slow" if chance < 220:
            return 503, 0.2
    return 200, 0.0


async def serve(journal: Journal) -> None:
    """Answers until SIGTERM."""

    async def handle(request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        integration, job = request.match_info["integration"], request.headers["webhook-id"]
        status, seconds = answer_of(integration, job, body["attempt"])
        # Before the answer: a process that dies meanwhile has been here all the same.
        journal.write(event_id=body["id"], integration=integration, job_id=job, attempt=body["attempt"], status=status)
        await asyncio.sleep(seconds)
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/{integration}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    watch_parent(sys.stdin.fileno())
    print(runner.addresses[0][1], flush=True)
    await stopping.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Journal(Path(sys.argv[1]))))
