"""What our SQS deliverer adds to bare `send_message_batch` calls: 100 messages under way, to one ministack.

    python -m tests.benchmarks.sqs [--rounds N] [--seconds S]

Both run in this process, under uvloop, in turn; the CPU time is this process's alone, so how fast the emulator is does
not count. The bare calls are those of aiobotocore's client as it comes, ten at a time with ten messages each, whose
bodies were made beforehand; a call is done when no entry of it has failed. Ours is given single deliveries.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import cycle, islice
from statistics import median
from typing import Any

import uvloop
from aiobotocore.session import get_session

from deliverers.aws_sqs import AwsSqsDeliverer
from deliverers.aws_sqs.sqs_messages import Message, message_of
from deliverers.contract import Delivered, DelivererOptions, Delivery
from deliverers.testing import LOOPBACK, a_delivery
from tests.benchmarks.alone import run_alone
from tests.benchmarks.transports import Rate, Send, an_order, window
from tests.counterparts.emulator import REGION
from tests.counterparts.ministack import Ministack

#: Of the bare calls' rate per CPU second.
TARGET = 0.7
#: Messages; of the bare calls a tenth as many.
IN_FLIGHT = 100
ROUNDS = 5
#: Of a window.
SECONDS = 3.0
_WARM_UP_SECONDS = 1.0
_BATCH = 10
#: Different messages, which are sent in turn.
_VARIETY = 1_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """All windows; those of one index followed each other."""

    bare: Sequence[Rate]
    ours: Sequence[Rate]
    body_size: int

    @property
    def ratio(self) -> float:
        """Ours per CPU second, of the bare calls': the median of the rounds."""
        return median(
            ours.per_cpu_second / bare.per_cpu_second for ours, bare in zip(self.ours, self.bare, strict=True)
        )

    def lines(self) -> Sequence[str]:
        """For people."""
        size, rounds = f"{self.body_size:,} bytes", len(self.ours)
        found = [f"SQS to ministack, messages of {size}, {IN_FLIGHT} under way; medians of {rounds} rounds in turn:"]
        for name, rates in (("bare send_message_batch", self.bare), ("our deliverer", self.ours)):
            cpu = median(rate.per_cpu_second for rate in rates)
            wall = median(rate.per_wall_second for rate in rates)
            found.append(f"  {name:23}  {cpu:9,.0f} per CPU second ({1e6 / cpu:.0f} µs)  {wall:9,.0f} per wall second")
        met = "met" if self.ratio >= TARGET else "missed"
        return (*found, f"  ratio per CPU second {self.ratio:.2f}; target >= {TARGET:g}: {met}")


def compare(rounds: int = ROUNDS, seconds: float = SECONDS) -> Comparison:
    """Starts a ministack, and measures. It must be installed."""
    with Ministack() as emulator:
        return uvloop.run(_compare(emulator, rounds, seconds))


def report(rounds: int = ROUNDS, seconds: float = SECONDS) -> Sequence[str]:
    """The comparison's lines, or why there is none."""
    why = Ministack.missing()
    return [f"SQS was not measured: {why}"] if why else compare(rounds, seconds).lines()


async def _compare(emulator: Ministack, rounds: int, seconds: float) -> Comparison:
    queues = {name: emulator.create_queue(name) for name in ("bare", "ours")}
    keys = emulator.create_user("sqs:SendMessageBatch")
    deliveries = _deliveries(queues["ours"], keys)
    async with AsyncExitStack() as stack:
        deliverer = AwsSqsDeliverer(DelivererOptions(egress=LOOPBACK))
        await deliverer.open()
        stack.push_async_callback(deliverer.close)
        client = await stack.enter_async_context(
            get_session().create_client(
                "sqs",
                region_name=REGION,
                endpoint_url=emulator.url,
                aws_access_key_id=keys[0],
                aws_secret_access_key=keys[1],
            )
        )
        messages = [_message(each) for each in deliveries]
        contestants: Mapping[str, tuple[Send, int]] = {
            "bare": (_bare(client, queues["bare"], messages), IN_FLIGHT // _BATCH),
            "ours": (_ours(deliverer, deliveries), IN_FLIGHT),
        }
        rates: dict[str, list[Rate]] = {name: [] for name in contestants}
        for send, at_once in contestants.values():
            await window(send, at_once, _WARM_UP_SECONDS)
        for number in range(rounds):
            # A machine that grows slower in a round does it to another one each time.
            for name in sorted(contestants, reverse=bool(number % 2)):
                send, at_once = contestants[name]
                rates[name].append(await window(send, at_once, seconds))
                await asyncio.to_thread(emulator.client("sqs").purge_queue, QueueUrl=queues[name])
    return Comparison(rates["bare"], rates["ours"], len(messages[0].body.encode()))


def _deliveries(url: str, keys: tuple[str, str]) -> Sequence[Delivery]:
    configuration = {
        "url": url,
        "aws_access_key_id": keys[0],
        "aws_secret_access_key": keys[1],
        "region": REGION,
    }
    event = an_order()
    one = a_delivery(AwsSqsDeliverer, configuration, data=bytes(event.data), included=bytes(event.included))
    # As in the worker each is another one; making them is not what is measured.
    return [replace(one, event_id=f"event-{n}", job_id=f"job-{n}") for n in range(_VARIETY)]


def _message(delivery: Delivery) -> Message:
    found = message_of(delivery, DelivererOptions().sqs_limit, is_fifo=False)
    assert isinstance(found, Message)
    return found


def _bare(client: Any, url: str, messages: Sequence[Message]) -> Send:
    turns = cycle(messages)

    async def send() -> int:
        entries = [each.entry(number) for number, each in enumerate(islice(turns, _BATCH))]
        answer = await client.send_message_batch(QueueUrl=url, Entries=entries)
        if len(answer["Successful"]) != _BATCH:
            raise RuntimeError(str(answer))
        return _BATCH

    return send


def _ours(deliverer: AwsSqsDeliverer, deliveries: Sequence[Delivery]) -> Send:
    turns = cycle(deliveries)

    async def send() -> int:
        outcome = await deliverer.deliver(next(turns))
        if not isinstance(outcome, Delivered):
            raise RuntimeError(str(outcome))  # noqa: TRY004 (an outcome is a value)
        return 1

    return send


if __name__ == "__main__":
    sys.exit(run_alone("sqs", Ministack.missing(), compare, ROUNDS, SECONDS))
