"""What a bare POST costs: the sender of deliverers.http beside aiohttp's client, under uvloop, in one run.

    python -m tests.benchmarks.http_sender [--count N] [--rounds N] [--concurrency N]

Both post the same body to the same sink from one process, in turns. Counted is the CPU time of that process. The exit
code is 1 where the sender reaches less than 1.6 times aiohttp's POSTs per CPU second.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import TypeVar

import aiohttp
import uvloop

from deliverers.contract import DelivererOptions
from deliverers.http import HttpAnswer, HttpSender, HttpTarget, RequestHead
from deliverers.testing import LOOPBACK
from tests.benchmarks.order import CONTENT_TYPE, order_body
from tests.benchmarks.sink import Sink

GOAL = 1.6
_HEADERS = {"Content-Type": CONTENT_TYPE}

Post = Callable[[], Awaitable[None]]
T = TypeVar("T")


async def seconds_each(post: Post, count: int, concurrency: int) -> float:
    """Return the CPU seconds of one POST."""
    turns = iter(range(count))

    async def post_in_turn() -> None:
        for _ in turns:
            await post()

    began = process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(post_in_turn())
    return (process_time() - began) / count


async def _measure(url: str, count: int, rounds: int, concurrency: int) -> float:
    """Print each round; return the ratio of the medians."""
    body, head = order_body(url), RequestHead("POST", HttpTarget.of(url), _HEADERS)
    sender = HttpSender(DelivererOptions(egress=LOOPBACK))
    await sender.open()

    async def by_sender() -> None:
        answer = await sender.exchange(head, {}, body, tenant="bench")
        if not isinstance(answer, HttpAnswer) or not answer.is_success:
            raise RuntimeError(f"the sink answered {answer}")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=_HEADERS) as session:

        async def by_aiohttp() -> None:
            async with session.post(url, data=body) as answer:
                await answer.read()
                if not answer.ok:
                    raise RuntimeError(f"the sink answered {answer.status}")

        found: dict[str, list[float]] = {"aiohttp": [], "sender": []}
        for number in range(rounds + 1):
            for name, post in (("aiohttp", by_aiohttp), ("sender", by_sender)):
                seconds = await seconds_each(post, count, concurrency)
                if number:  # the first round opens connections
                    found[name].append(seconds)
            if number:
                ours, theirs = found["sender"][-1], found["aiohttp"][-1]
                print(f"round {number}: aiohttp {theirs * 1e6:.1f} µs, sender {ours * 1e6:.1f} µs, {theirs / ours:.2f}")
    await sender.close()
    ours, theirs = median(found["sender"]), median(found["aiohttp"])
    print(f"POSTs per CPU second: aiohttp {1 / theirs:,.0f}, sender {1 / ours:,.0f}: {theirs / ours:.2f} times")
    return theirs / ours


def measured(name: str, path: str, measure: Callable[[str, int, int, int], Awaitable[T]], count: int, rounds: int) -> T:
    """Read the command line, and return what `measure` finds with a sink.

    Args:
        name: The benchmark's module in this folder.
        path: Where the sink counts its requests.
        measure: Measures, given the URL, the count, the rounds and the concurrency.
        count: The default of the first option.
        rounds: The default of the second one.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}", allow_abbrev=False)
    parser.add_argument("--count", type=int, default=count, help="requests of each in a round")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--concurrency", type=int, default=50)
    given = parser.parse_args()

    async def run(url: str) -> T:
        return await measure(url, given.count, given.rounds, given.concurrency)

    with TemporaryDirectory(prefix="edw-posts-") as folder:
        sink = Sink(Path(folder) / "sink.log")
        try:
            sink.start()
            return uvloop.run(run(sink.url(path)))
        finally:
            sink.program.stop()


def main() -> int:
    """Return the exit code."""
    ratio = measured("http_sender", "/sender", _measure, count=20_000, rounds=5)
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
