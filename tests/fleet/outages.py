"""How a server goes away for a while, and what a process is like meanwhile: for the tests of outages."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
import psutil

from tests.counterparts.proxy import TcpProxy
from tests.counterparts.rabbitmq import RabbitServer
from tests.counterparts.redis_server import RedisServer
from tests.waiting import PATIENCE, eventually

#: Work goes on so soon after the return (seconds); `make outages` fails where it does not.
RESUMED_WITHIN = 5.0
#: How soon it did, among a test's properties (seconds).
RESUMED_AFTER = "resumed after"
#: What a process may use of a processor while it waits, and what it may use for noticing (seconds).
IDLE_SHARE = 0.2
NOTICING = 0.5

#: A server is killed, and later started on the same port; it is stopped in its tracks; its connections are reset.
WAYS = ("refused", "frozen", "reset")


@dataclass(frozen=True)
class Outage:
    """Where processes find a server, and how it goes away and comes back."""

    url: str
    begin: Callable[[], object]
    end: Callable[[], object]


@asynccontextmanager
async def outage_of(way: str, server: RedisServer | RabbitServer) -> AsyncIterator[Outage]:
    """One of WAYS."""
    match way:
        case "refused":
            # Bound, and not listened on: it refuses, and nobody else is given it meanwhile.
            with socket.socket() as held:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

                def kill() -> None:
                    server.kill()
                    held.bind(("127.0.0.1", server.port))

                def start() -> None:
                    held.close()
                    server.start()

                yield Outage(server.url_at(server.port), kill, start)
        case "frozen":
            try:
                yield Outage(server.url_at(server.port), server.freeze, server.thaw)
            finally:
                # An interrupted test would wait for it at its end.
                server.thaw()
        case _:
            async with TcpProxy(server.port) as proxy:

                def begin() -> None:
                    proxy.resetting = True
                    proxy.reset()

                def end() -> None:
                    proxy.resetting = False

                yield Outage(server.url_at(proxy.port), begin, end)


@dataclass
class Watched:
    """A process during an outage: it must neither end nor spin."""

    name: str
    pid: int
    probe: str
    _began: float = field(default=0.0, init=False)
    _used: float = field(default=0.0, init=False)

    def begin(self) -> None:
        self._began, self._used = monotonic(), self._cpu()

    def check(self) -> None:
        """It lives, and has waited without using the processor."""
        used, took = self._cpu() - self._used, monotonic() - self._began
        assert used < NOTICING + IDLE_SHARE * took, f"{self.name} used {used:.2f} s of {took:.2f} s"

    async def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """What its probe answers."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.probe}{path}") as answer:
            return answer.status, dict(await answer.json(content_type=None))

    async def becomes(self, status: str, check: str = "", seconds: float = PATIENCE) -> dict[str, Any]:
        """Awaits a readiness, or that of one thing that it stands on; answers that."""

        async def is_so() -> dict[str, Any] | None:
            code, document = await self.ask("/readyz")
            assert code == (503 if document["status"] == "red" else 200)
            found: dict[str, Any] = document["checks"].get(check, {}) if check else document
            return found if found.get("status") == status else None

        found: dict[str, Any] = await eventually(is_so, f"{check or 'all'} of {self.name} becomes {status}", seconds)
        return found

    async def lives(self) -> bool:
        """What an operator who restarts processes reads."""
        code, document = await self.ask("/healthz")
        return (code, document["status"]) == (200, "ok")

    def _cpu(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def resumed(report: Callable[[str, object], None]) -> Iterator[None]:
    """Record the seconds from the return until work goes on, among the test's properties."""
    back = monotonic()
    yield
    report(RESUMED_AFTER, monotonic() - back)


async def lasts(outage_seconds: float, began: float) -> None:
    """Waits for the rest of an outage."""
    await asyncio.sleep(max(0.0, began + outage_seconds - monotonic()))
