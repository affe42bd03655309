"""What the benchmarks of SQS and STOMP share: a window of sending, the event that is sent, and the command line."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Protocol

import msgspec

from tests.benchmarks.order import OrderPaid

#: Sends, and answers how many messages that were.
Send = Callable[[], Awaitable[int]]


class Comparison(Protocol):
    """What a benchmark found."""

    def lines(self) -> Sequence[str]:
        """For people."""
        ...


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


def run_alone(
    name: str, missing: str | None, compare: Callable[[int, float], Comparison], rounds: int, seconds: float
) -> int:
    """A benchmark as a command, with its usual rounds and seconds; `missing` is why it cannot be run.

    Answers the exit code: 1 where there is nothing to measure against.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}", description=f"What {name} costs.")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds)
    arguments = parser.parse_args()
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    print(f"load before: {os.getloadavg()[0]:.2f}", file=sys.stderr)
    print("\n".join(compare(arguments.rounds, arguments.seconds).lines()))
    return 0
