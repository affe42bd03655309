"""An open loop: events are published when they are due by the clock, whatever becomes of the ones before.

A producer that waited for anything would offer less to a system that stalls, and so hide that it does. Here every
event's id begins with the time for which it was scheduled, and its latency counts from there: a publish that came late
because Redis was slow counts as late.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from time import monotonic_ns, sleep
from typing import Protocol

from tests.benchmarks.order import OrderPaid
from worker.domain.event import Refusal
from worker.publisher import Receipt

#: Events are due in steps of this (nanoseconds).
TICK = 10_000_000

_numbers = count()


class Producer(Protocol):
    """What publishes: a Publisher, or a client of the API."""

    def publish_many(self, events: Sequence[bytes], /) -> Sequence[Receipt | Refusal]:
        """Answer for each event, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """So many events a second in all, of each of the stores in turn."""

    orders: Sequence[OrderPaid]
    rate: float

    def __iter__(self) -> Iterator[OrderPaid]:
        return cycle(self.orders)


@dataclass(frozen=True, slots=True)
class Fed:
    """A stretch of time (nanoseconds of the monotonic clock), and how many events of each stream were due in it."""

    since: int
    till: int
    events: Sequence[int]

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.till - self.since) / 1e9


class OpenLoop:
    """Feeds streams from now on."""

    def __init__(self, publisher: Producer, streams: Sequence[Stream]) -> None:
        self._publisher = publisher
        self._streams = [(stream.rate * TICK / 1e9, iter(stream)) for stream in streams]
        self._began = monotonic_ns()
        self._ticks = 0

    def feed(self, seconds: float) -> Fed:
        """Goes on for so long; a following call goes on where this one ended."""
        first = self._ticks
        last = first + round(seconds * 1e9 / TICK)
        counts = [int(rate * last) - int(rate * first) for rate, _ in self._streams]
        while self._ticks < last:
            now = monotonic_ns()
            due = min(last, (now - self._began) // TICK + 1)
            # What is late goes with what is due: each keeps its own time.
            events = [event for tick in range(self._ticks, due) for event in self._of(tick)]
            self._ticks = due
            publish(self._publisher, events)
            sleep(max(0, self._began + due * TICK - monotonic_ns()) / 1e9)
        return Fed(self._began + first * TICK, self._began + last * TICK, counts)

    def _of(self, tick: int) -> Iterator[bytes]:
        at = self._began + tick * TICK
        for rate, orders in self._streams:
            for _ in range(int(rate * (tick + 1)) - int(rate * tick)):
                yield next(orders).event(event_id(at))


def event_id(scheduled: int) -> str:
    """An id that no other event has."""
    return f"{scheduled}-{next(_numbers)}"


def publish(publisher: Producer, events: Sequence[bytes]) -> None:
    """Publishes; raises RuntimeError where one is refused."""
    answers = publisher.publish_many(events) if events else []
    refused = [str(each) for each in answers if not isinstance(each, Receipt)]
    if refused:
        raise RuntimeError(f"an event of the benchmark was refused: {refused[0]}")
