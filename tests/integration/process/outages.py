"""How a server goes away for a while, and what a process is like meanwhile: for the tests of outages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
import psutil

from tests.counterparts.proxy import TcpProxy
from tests.counterparts.store import StoreServer
from tests.integration.process.conftest import eventually

#: Work is to go on so soon after the return (seconds).
RESUMED_WITHIN = 5.0
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
async def outage_of(way: str, server: StoreServer) -> AsyncIterator[Outage]:
    """One of WAYS, for a store."""
    match way:
        case "refused":
            yield Outage(server.tcp_url, server.kill, server.start)
        case "frozen":
            yield Outage(server.tcp_url, server.freeze, server.thaw)
        case _:
            async with TcpProxy(server.port) as proxy:

                def begin() -> None:
                    proxy.resetting = True
                    proxy.reset()

                def end() -> None:
                    proxy.resetting = False

                yield Outage(f"redis://127.0.0.1:{proxy.port}/0", begin, end)


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

    async def becomes(self, status: str, check: str = "") -> dict[str, Any]:
        """Awaits a readiness, or that of one thing that it stands on; answers that."""

        async def is_so() -> dict[str, Any] | None:
            code, document = await self.ask("/readyz")
            assert code == (503 if document["status"] == "red" else 200)
            found: dict[str, Any] = document["checks"].get(check, {}) if check else document
            return found if found.get("status") == status else None

        found: dict[str, Any] = await eventually(is_so, f"{check or 'all'} of {self.name} becomes {status}")
        return found

    async def lives(self) -> bool:
        """What whoever restarts processes is told."""
        code, document = await self.ask("/healthz")
        return (code, document["status"]) == (200, "ok")

    def _cpu(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


async def lasts(outage_seconds: float, began: float) -> None:
    """Waits for the rest of an outage."""
    await asyncio.sleep(max(0.0, began + outage_seconds - monotonic()))
