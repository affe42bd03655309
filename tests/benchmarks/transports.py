"""What the benchmarks of SQS and STOMP share: a window of sending, and the event that is sent."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter, process_time

import msgspec

from tests.benchmarks.order import OrderPaid

#: Sends, and answers how many messages that were.
Send = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Rate:
    """One window, in messages."""

    per_cpu_second: float
    per_wall_second: float


class Parts(msgspec.Struct):
    """An event's resource and what is included with it."""

    data: msgspec.Raw
    included: msgspec.Raw


def an_order() -> Parts:
    """Those of the event that every benchmark sends."""
    return msgspec.json.decode(OrderPaid().event(), type=Parts)


async def window(send: Send, at_once: int, seconds: float) -> Rate:
    """Sends for so long, so many at once; the CPU time is this process's."""
    sent = 0
    began, cpu = perf_counter(), process_time()
    end = began + seconds

    async def send_in_turn() -> None:
        nonlocal sent
        while perf_counter() < end:
            # Not `sent += await …`, which reads the sum before it waits.
            taken = await send()
            sent += taken

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(send_in_turn())
    return Rate(sent / (process_time() - cpu), sent / (perf_counter() - began))
