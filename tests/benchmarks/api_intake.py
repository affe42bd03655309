"""What accepting events costs an API process: microseconds of its processor time for each event.

    python -m tests.benchmarks.api_intake [--rounds N] [--seconds N]

One `edw api` process and its own Redis. The callers keep their connections, and write requests by hand, so that they do
not slow down the API. No worker runs: the wake-ups are read by a small task of this process.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import cast

import redis.asyncio
import uvloop

from tests.benchmarks.alone import run_alone, say
from tests.benchmarks.installation import Installation
from tests.benchmarks.latency import spread
from tests.benchmarks.order import ORG_ID, STORE_ID, OrderPaid
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.processes import START_SECONDS
from tests.counterparts.ports import free_port
from tests.samples import issue_token
from worker.domain.api_token import Role
from worker.domain.event import Scope

ROUNDS = 3
WINDOW_SECONDS = 4.0
#: Callers at saturation, each with a connection of its own and one request under way.
CALLERS = 64
#: Events a second of the everyday load.
EVERYDAY = 200
BATCH = 100
#: Of a window that does not count: it opens connections, and imports what is imported late.
WARM_UP_SECONDS = 1.0
_LOOK_SECONDS = 0.02
#: Where Celery's wake-ups for events wait.
_QUEUE = "edw.events"

#: Makes a request's body and its content type.
Body = Callable[[], tuple[bytes, str]]


@dataclass(frozen=True, slots=True)
class Load:
    """A way to feed the API: `pause` is the time between two requests (seconds), 0 at saturation."""

    name: str
    body: Body
    events: int
    callers: int
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Intake:
    """Processor time of the API for each event (µs), and events a second, in each window, by load."""

    micros: Mapping[str, Sequence[float]]
    rates: Mapping[str, Sequence[float]]

    def lines(self) -> Sequence[str]:
        """For people."""
        return [
            "| load | µs of the API for each event | events/s |",
            "|---|---|---|",
            *(
                f"| {name} | {spread(micros)} | {median(self.rates[name]):,.0f} |"
                for name, micros in self.micros.items()
            ),
        ]


class Caller(asyncio.Protocol):
    """A connection on which one request follows the other; any answer but 202 ends the benchmark."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[None] | None = None
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport has its methods, and not its class.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the API closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self._buffer = b""
        assert self._answer is not None
        if head.startswith(b"HTTP/1.1 202 "):
            self._answer.set_result(None)
        else:
            self._answer.set_exception(RuntimeError(f"an event of the benchmark was refused: {body[:300]!r}"))

    async def post(self, request: bytes) -> None:
        """Send a request, and wait for its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(request)
        await self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class ServedApi:
    """One API process, with a token that may publish."""

    def __init__(self, installation: Installation, port: int, log: Path) -> None:
        self.program = installation.start_api(log)
        self.port = port
        scope = Scope(ORG_ID, STORE_ID)
        self._token = installation.run(issue_token(installation.ledger, scope=scope, role=Role.PUBLISH))

    def await_answer(self) -> None:
        """Wait until it answers. Raises ProcessEnded."""
        end = monotonic() + START_SECONDS
        while True:
            self.program.check()
            connection = HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
            with suppress(OSError):
                connection.request("GET", "/readyz")
                connection.getresponse().read()
                return
            if monotonic() > end:
                raise TimeoutError("the API does not answer")
            sleep(_LOOK_SECONDS)

    def request(self, body: bytes, content_type: str) -> bytes:
        """Return a whole request."""
        head = (
            f"POST /v2/events HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nAccept: */*\r\n\r\n"
        )
        return head.encode() + body

    async def feed(self, load: Load, seconds: float) -> int:
        """Publish for so long; return the number of accepted events."""
        loop = asyncio.get_running_loop()
        callers = [(await loop.create_connection(Caller, "127.0.0.1", self.port))[1] for _ in range(load.callers)]
        end = loop.time() + seconds

        async def call(caller: Caller, number: int) -> int:
            done = 0
            due = loop.time() + number * load.pause
            while loop.time() < end:
                await caller.post(self.request(*load.body()))
                done += 1
                if load.pause:
                    due += load.pause * load.callers
                    await asyncio.sleep(max(0.0, due - loop.time()))
            return done

        try:
            return sum(await asyncio.gather(*(call(each, n) for n, each in enumerate(callers)))) * load.events
        finally:
            for caller in callers:
                caller.close()


def loads() -> Sequence[Load]:
    """What is measured."""
    orders = OrderPaid()

    def plain(count: int) -> Body:
        def body() -> tuple[bytes, str]:
            events = b",".join(orders.event() for _ in range(count))
            return b'{"data":' + (events if count == 1 else b"[" + events + b"]") + b"}", "application/json"

        return body

    def cloud(count: int) -> Body:
        def one() -> bytes:
            raw = orders.event().replace(b'"org_id":', b'"orgid":').replace(b'"store_id":', b'"storeid":')
            return b'{"specversion":"1.0",' + raw[1:]

        def body() -> tuple[bytes, str]:
            events = b",".join(one() for _ in range(count))
            if count == 1:
                return events, "application/cloudevents+json"
            return b"[" + events + b"]", "application/cloudevents-batch+json"

        return body

    return (
        Load("single events, saturation", plain(1), 1, CALLERS),
        Load(f"single events, {EVERYDAY}/s", plain(1), 1, 4, 1 / EVERYDAY),
        Load(f"batches of {BATCH}", plain(BATCH), BATCH, 4),
        Load("single CloudEvents, saturation", cloud(1), 1, CALLERS),
        Load(f"batches of {BATCH} CloudEvents", cloud(BATCH), BATCH, 4),
    )


async def _drain(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    try:
        while True:
            await client.delete(_QUEUE)
            await asyncio.sleep(0.1)
    finally:
        await client.aclose()


async def api_window(api: ServedApi, load: Load, seconds: float, url: str) -> tuple[float, float]:
    """Feed an API for so long; return its microseconds for each event, and the events a second."""
    draining = asyncio.create_task(_drain(url))
    try:
        cpu, began = api.program.cpu_seconds(), monotonic()
        events = await api.feed(load, seconds)
        took, cpu = monotonic() - began, api.program.cpu_seconds() - cpu
    finally:
        draining.cancel()
    api.program.check()
    return cpu / events * 1e6, events / took


def compare(rounds: int, seconds: float) -> Intake:
    """Start everything, measure every load in every round, and end everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edw-api-", ignore_cleanup_errors=True)))
        server = PrivateRedis(folder / "r", "everysec")
        stack.callback(server.program.stop)
        server.start()
        port = free_port()
        changes = {"EDW_API_PORT": str(port), "EDW_INBOX_LIMIT": "1000000000", "EDW_INBOX_MAX_AGE": "1d"}
        installation = Installation(server, folder / "log", changes)
        stack.callback(installation.close)
        installation.connect()
        api = ServedApi(installation, port, folder / "api.log")
        stack.callback(api.program.stop)
        api.await_answer()
        micros: dict[str, list[float]] = {}
        rates: dict[str, list[float]] = {}
        for number in range(rounds + 1):
            for load in loads():
                found = uvloop.run(api_window(api, load, seconds if number else WARM_UP_SECONDS, server.url))
                if number:
                    micros.setdefault(load.name, []).append(found[0])
                    rates.setdefault(load.name, []).append(found[1])
                    say(f"round {number} of {rounds}: {load.name}: {found[0]:,.0f} µs, {found[1]:,.0f}/s")
        return Intake(micros, rates)


if __name__ == "__main__":
    sys.exit(run_alone("api_intake", None, compare, ROUNDS, WINDOW_SECONDS))
