"""One window: so many deliveries by one contestant, and what they took. And what several windows say together."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import Protocol

from tests.benchmarks.processes import Program
from tests.benchmarks.sink import Sink

#: A contestant that delivers nothing more for so long has lost what is missing (seconds).
PATIENCE_SECONDS = 30.0
#: Between two looks at a contestant's processes, and for its last records after its last delivery (seconds).
_LOOK_SECONDS = 1.0
_LAST_RECORDS_SECONDS = 0.005
#: The part of a window from which on the producer may be what is measured on the clock.
_PRODUCER_BOUND = 0.9


class DeliveriesLost(Exception):
    """A contestant did not deliver, or did not record, all that it was given."""


class Contestant(Protocol):
    """What is asked of everybody who is measured."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str:
        """Where at the sink its requests are counted."""
        ...

    @property
    def program(self) -> Program:
        """Whose CPU is accounted for, with its children's."""
        ...

    @property
    def redis_server(self) -> Program | None: ...
    @property
    def rehearsal(self) -> int:
        """Deliveries that open its connections and show its rate."""
        ...

    @property
    def step(self) -> int:
        """Deliveries are offered in multiples of this."""
        ...

    def offer(self, count: int) -> None:
        """Hands over work for so many deliveries."""
        ...

    def recorded(self) -> bool:
        """True once everything that was offered is delivered and has its records."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured. Times are seconds; those of processes are CPU time, user and system."""

    deliveries: int
    wall: float
    cpu: float
    redis_cpu: float
    sink_cpu: float
    #: From the first to the last work handed over; part of `wall`.
    offering: float
    #: Requests that the sink had beyond those that were owed.
    surplus: int

    @property
    def per_wall_second(self) -> float:
        """Deliveries per second on the clock."""
        return self.deliveries / self.wall

    @property
    def per_cpu_second(self) -> float:
        """Deliveries per CPU second of the contestant's own processes."""
        return self.deliveries / self.cpu

    @property
    def redis_micros(self) -> float:
        """The CPU of Redis for a delivery, in microseconds."""
        return self.redis_cpu / self.deliveries * 1e6

    @property
    def sink_micros(self) -> float:
        """The sink's CPU for a request, in microseconds."""
        return self.sink_cpu / self.deliveries * 1e6

    @property
    def sink_busy(self) -> float:
        """The part of the time that the sink's one process worked: at 1.0 it would be what is measured."""
        return self.sink_cpu / self.wall


@dataclass(frozen=True, slots=True)
class Medians:
    """Several windows of one contestant; the median of each figure."""

    per_wall_second: float
    per_cpu_second: float
    redis_micros: float | None
    sink_micros: float
    #: The largest.
    sink_busy: float
    #: The producer was still handing over work when most of a window was over, so that it may be the slower one.
    producer_bound: bool
    #: (largest - smallest) / median of the deliveries per CPU second.
    spread: float

    @classmethod
    def of(cls, windows: Sequence[Window], has_redis: bool) -> "Medians":
        """Of at least one window."""
        rates = [each.per_cpu_second for each in windows]
        return cls(
            median(each.per_wall_second for each in windows),
            median(rates),
            median(each.redis_micros for each in windows) if has_redis else None,
            median(each.sink_micros for each in windows),
            max(each.sink_busy for each in windows),
            median(each.offering / each.wall for each in windows) > _PRODUCER_BOUND,
            (max(rates) - min(rates)) / median(rates),
        )


def measure(contestant: Contestant, sink: Sink, count: int) -> Window:
    """Has a contestant deliver `count` times. Raises DeliveriesLost, and ProcessEnded where it dies."""
    redis_server = contestant.redis_server
    before = sink.count(contestant.path)
    cpu, sink_cpu = contestant.program.cpu_seconds(), sink.program.cpu_seconds()
    redis_cpu = redis_server.cpu_seconds() if redis_server else 0.0
    began = perf_counter()
    sink.expect(contestant.path, before + count)
    contestant.offer(count)
    offered = perf_counter()
    _await_deliveries(contestant, sink, before, count)
    _await_records(contestant)
    ended = perf_counter()
    return Window(
        count,
        ended - began,
        contestant.program.cpu_seconds() - cpu,
        redis_server.cpu_seconds() - redis_cpu if redis_server else 0.0,
        sink.program.cpu_seconds() - sink_cpu,
        offered - began,
        sink.count(contestant.path) - before - count,
    )


def size_of_window(rehearsed: Window, seconds: float, step: int) -> int:
    """How many deliveries take about so many seconds, at the rate of the rehearsal."""
    return max(1, round(rehearsed.per_wall_second * seconds / step)) * step


def _await_deliveries(contestant: Contestant, sink: Sink, before: int, count: int) -> None:
    seen, since = before, monotonic()
    while not sink.reached(_LOOK_SECONDS):
        contestant.program.check()
        now = sink.count(contestant.path)
        if now > seen:
            seen, since = now, monotonic()
        elif monotonic() - since > PATIENCE_SECONDS:
            raise DeliveriesLost(
                f"{contestant.name}: {before + count - now} of {count} deliveries did not arrive, and none in the last "
                f"{PATIENCE_SECONDS:g} s\n{contestant.program.tail()}"
            )


def _await_records(contestant: Contestant) -> None:
    end = monotonic() + PATIENCE_SECONDS
    while not contestant.recorded():
        contestant.program.check()
        if monotonic() > end:
            raise DeliveriesLost(
                f"{contestant.name}: all arrived, but not all are recorded\n{contestant.program.tail()}"
            )
        sleep(_LAST_RECORDS_SECONDS)
