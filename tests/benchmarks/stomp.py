"""What our STOMP deliverer adds to a bare producer: messages with a receipt, 100 under way, to one RabbitMQ.

    python -m tests.benchmarks.stomp [--rounds N] [--seconds S]

All run in this process, under uvloop, in turn; the CPU time is this process's alone. The raw producer takes a
destination, headers and a body, makes a frame of them, and reads frames with their headers. It sends the same messages
as ours, whose headers and bodies were made beforehand; ours is given deliveries. The floor sends one frame that it knew
beforehand, and looks for receipts only. Both know neither events nor deadlines, and lose their way when anything fails.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar, cast

import uvloop

from deliverers.contract import Delivered, DelivererOptions, Delivery
from deliverers.envelopes import CLOUDEVENT_TYPE, cloudevent_body
from deliverers.stomp import StompDeliverer
from deliverers.testing import LOOPBACK, a_delivery
from tests.benchmarks.alone import run_alone
from tests.benchmarks.transports import Rate, Send, an_order, window
from tests.counterparts import rabbitmq
from tests.counterparts.stomp import StompRabbit

#: Of the raw producer's rate per CPU second.
TARGET = 0.7
IN_FLIGHT = 100
ROUNDS = 5
#: Of a window.
SECONDS = 2.0
_WARM_UP_SECONDS = 0.5
#: Different messages, which are sent in turn.
_VARIETY = 1_000

Producer = TypeVar("Producer", bound="Raw")


@dataclass(frozen=True, slots=True)
class Comparison:
    """All windows by contestant; those of one index followed each other."""

    floor: Sequence[Rate]
    raw: Sequence[Rate]
    ours: Sequence[Rate]
    body_size: int

    @property
    def ratio(self) -> float:
        """Ours per CPU second, of the raw producer's: the median of the rounds."""
        return median(ours.per_cpu_second / raw.per_cpu_second for ours, raw in zip(self.ours, self.raw, strict=True))

    def lines(self) -> Sequence[str]:
        """For people."""
        size, rounds = f"{self.body_size:,} bytes", len(self.ours)
        found = [f"STOMP to RabbitMQ, messages of {size}, {IN_FLIGHT} under way; medians of {rounds} rounds in turn:"]
        for name, rates in (("floor", self.floor), ("raw producer", self.raw), ("our deliverer", self.ours)):
            cpu = median(rate.per_cpu_second for rate in rates)
            wall = median(rate.per_wall_second for rate in rates)
            found.append(f"  {name:13}  {cpu:9,.0f} per CPU second ({1e6 / cpu:.1f} µs)  {wall:9,.0f} per wall second")
        met = "met" if self.ratio >= TARGET else "missed"
        return (*found, f"  ours per CPU second, of the raw producer's: {self.ratio:.2f}; target >= {TARGET:g}: {met}")


class Raw(asyncio.Protocol):
    """A pipelining producer as one would write it: messages with receipts, and nothing around them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._issued = 0
        self._buffer = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self.ready: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        login = f"login:{rabbitmq.USER}\npasscode:{rabbitmq.PASSWORD}\n"
        self.transport.write(f"CONNECT\naccept-version:1.2\nhost:/\n{login}\n\0".encode())

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        *frames, self._buffer = (self._buffer + data).split(b"\0")
        for frame in frames:
            head, _, _ = frame.lstrip(b"\r\n").partition(b"\n\n")
            command, *lines = head.decode().split("\n")
            headers = dict(line.split(":", 1) for line in lines)
            if command == "RECEIPT":
                self._pending.pop(headers["receipt-id"]).set_result(None)
            elif command == "CONNECTED":
                self.ready.set_result(None)
            else:
                raise RuntimeError(frame.decode())

    async def send(self, destination: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Sends one message, and answers when its receipt is there."""
        self._issued += 1
        receipt = str(self._issued)
        future = self._pending[receipt] = self._loop.create_future()
        lines = "".join(f"{_escaped(name)}:{_escaped(value)}\n" for name, value in headers.items())
        head = f"SEND\ndestination:{_escaped(destination)}\nreceipt:{receipt}\npersistent:true\n{lines}\n"
        self.transport.write(head.encode() + body + b"\0")
        await self._writable.wait()
        await future
        return 1


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace(":", "\\c")


class Floor(Raw):
    """The least that can be done: one frame, known beforehand."""

    def __init__(self, destination: str, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__()
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        self._head = f"SEND\ndestination:{destination}\npersistent:true\n{lines}receipt:".encode()
        self._rest = b"\n\n" + body + b"\0"
        self._waiting: dict[bytes, asyncio.Future[None]] = {}

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            super().data_received(data)
            return
        *frames, self._buffer = (self._buffer + data).split(b"\0")
        for frame in frames:
            self._waiting.pop(frame.partition(b"receipt-id:")[2].rstrip()).set_result(None)

    async def send_it(self) -> int:
        """Sends the message, and answers when its receipt is there."""
        self._issued += 1
        receipt = b"%d" % self._issued
        future = self._waiting[receipt] = self._loop.create_future()
        self.transport.write(self._head + receipt + self._rest)
        await future
        return 1


def compare(rounds: int = ROUNDS, seconds: float = SECONDS) -> Comparison:
    """Starts a RabbitMQ, and measures. It must be installed."""
    with TemporaryDirectory(prefix="edw-bench-stomp-") as folder, StompRabbit(Path(folder)) as server:
        return uvloop.run(_compare(server, rounds, seconds))


def report(rounds: int = ROUNDS, seconds: float = SECONDS) -> Sequence[str]:
    """The comparison's lines, or why there is none."""
    if why := StompRabbit.missing():
        return [f"STOMP was not measured: {why}"]
    return compare(rounds, seconds).lines()


async def _compare(server: StompRabbit, rounds: int, seconds: float) -> Comparison:
    event = an_order()
    delivery = a_delivery(
        StompDeliverer,
        {
            "username": rabbitmq.USER,
            "password": rabbitmq.PASSWORD,
            "destination": "/queue/ours",
            "addresses": [f"stomp://127.0.0.1:{server.plain}"],
        },
        data=bytes(event.data),
        included=bytes(event.included),
    )
    async with AsyncExitStack() as stack:
        deliverer = StompDeliverer(DelivererOptions(egress=LOOPBACK))
        await deliverer.open()
        stack.push_async_callback(deliverer.close)
        # As in the worker each is another one; making them is not what is measured.
        deliveries = [replace(delivery, event_id=f"event-{n}", job_id=f"job-{n}") for n in range(_VARIETY)]
        messages = [(cloudevent_body(each), _headers(each)) for each in deliveries]
        raw = await _connected(Raw, server, stack)
        floor = await _connected(lambda: Floor("/queue/floor", *messages[0]), server, stack)
        contestants: dict[str, Send] = {
            "floor": floor.send_it,
            "raw": _send(raw, messages),
            "ours": _deliver(deliverer, deliveries),
        }
        names = list(contestants)
        rates: dict[str, list[Rate]] = {name: [] for name in contestants}
        for send in contestants.values():
            await window(send, IN_FLIGHT, _WARM_UP_SECONDS)
        for number in range(rounds):
            # A machine that grows slower in a round does it to another one each time.
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                rates[name].append(await window(contestants[name], IN_FLIGHT, seconds))
                await asyncio.to_thread(server.control, "purge_queue", name)
    return Comparison(rates["floor"], rates["raw"], rates["ours"], len(messages[0][0]))


def _headers(delivery: Delivery) -> Mapping[str, str]:
    return {
        "content-type": CLOUDEVENT_TYPE,
        "event_type": delivery.triggered_by,
        "event_id": delivery.event_id,
        "job_id": delivery.job_id,
    }


async def _connected(make: Callable[[], Producer], server: StompRabbit, stack: AsyncExitStack) -> Producer:
    transport, producer = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", server.plain)
    stack.callback(transport.close)
    await producer.ready
    return producer


def _send(raw: Raw, messages: Sequence[tuple[bytes, Mapping[str, str]]]) -> Send:
    turns = cycle(messages)

    async def send() -> int:
        body, headers = next(turns)
        return await raw.send("/queue/raw", body, headers)

    return send


def _deliver(deliverer: StompDeliverer, deliveries: Sequence[Delivery]) -> Send:
    turns = cycle(deliveries)

    async def deliver() -> int:
        outcome = await deliverer.deliver(next(turns))
        if not isinstance(outcome, Delivered):
            raise RuntimeError(str(outcome))  # noqa: TRY004 (an outcome is a value)
        return 1

    return deliver


if __name__ == "__main__":
    sys.exit(run_alone("stomp", StompRabbit.missing(), compare, ROUNDS, SECONDS))
