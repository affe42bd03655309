"""What the benchmark says in the end: a table for people, a document for machines."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.measure import Medians, Window
from tests.benchmarks.registry import SIZES, Growth

#: What ours must reach where it is published in batches, fan-out 1; of deliveries per CPU second.
TARGET_OF_FLOOR = 0.4
TARGET_OF_TEXTBOOK = 10.0
#: Characters a line, where no terminal says otherwise.
_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant's line."""

    name: str
    medians: Medians
    windows: tuple[Window, ...]
    is_target: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. The first row is the floor's, the second the textbook's."""

    rows: tuple[Row, ...]
    growth: tuple[Growth, ...]
    #: Deliveries per CPU second of the floor, by how many requests were under way.
    floor_by_concurrency: Mapping[int, float]
    seconds: float
    appendfsync: str
    machine: Mapping[str, str]

    @property
    def floor(self) -> Medians:
        """What posting itself costs."""
        return self.rows[0].medians

    @property
    def textbook(self) -> Medians:
        """What most would write."""
        return self.rows[1].medians

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes the figures worthless."""
        sink = [
            f"the sink was busier than {row.name}: {window.sink_micros:.0f} µs of {1e6 / window.per_cpu_second:.0f} µs"
            for row in self.rows
            for window in row.windows
            if window.sink_cpu >= window.cpu
        ]
        surplus = [
            f"{row.name}: {window.surplus} requests more than were owed"
            for row in self.rows
            for window in row.windows
            if window.surplus
        ]
        return (*sink, *surplus)


def show(report: Report) -> None:
    """Prints the table and its footnotes."""
    console = Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else _WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(_table(report))
    console.print()
    console.print(_growth_table(report))
    for line in _footnotes(report):
        console.print(line)
    for problem in report.problems:
        console.print(Text(f"PROBLEM: {problem}", "bold red"))


def document(report: Report) -> dict[str, Any]:
    """The same and every window, for a machine."""
    return {
        "machine": dict(report.machine),
        "seconds": round(report.seconds, 1),
        "appendfsync": report.appendfsync,
        "floor_by_concurrency": {str(key): round(value, 1) for key, value in report.floor_by_concurrency.items()},
        "problems": list(report.problems),
        "growth": [
            {"name": row.name, "micros": {str(size): each for size, each in row.micros.items()}, "ratio": row.ratio}
            for row in report.growth
        ],
        "contestants": [
            {
                "name": row.name,
                **asdict(row.medians),
                "cpu_ratio_to_floor": row.medians.per_cpu_second / report.floor.per_cpu_second,
                "cpu_ratio_to_textbook": row.medians.per_cpu_second / report.textbook.per_cpu_second,
                "wall_ratio_to_floor": row.medians.per_wall_second / report.floor.per_wall_second,
                "wall_ratio_to_textbook": row.medians.per_wall_second / report.textbook.per_wall_second,
                "windows": [asdict(window) for window in row.windows],
            }
            for row in report.rows
        ],
    }


def _table(report: Report) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    made.add_column("deliveries", no_wrap=True)
    for title in (
        "per wall\nsecond",
        "of floor",
        "of text-\nbook",
        "per CPU\nsecond",
        "of floor",
        "of text-\nbook",
        "Redis CPU\neach (µs)",
        "spread",
    ):
        made.add_column(title, justify="right")
    made.add_column("target, per\nCPU second", no_wrap=True)
    for row in report.rows:
        made.add_row(*_cells(row, report), style="bold" if row.is_target else None)
    return made


def _growth_table(report: Report) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    made.add_column("in a store of so many integrations (µs, median)", no_wrap=True)
    for title in (*(f"{size:,}" for size in SIZES), "ratio"):
        made.add_column(title, justify="right")
    for row in report.growth:
        made.add_row(row.name, *(f"{row.micros[size]:,.0f}" for size in SIZES), f"{row.ratio:.2f}")
    return made


def _cells(row: Row, report: Report) -> Sequence[str | Text]:
    own, floor, textbook = row.medians, report.floor, report.textbook
    return (
        row.name,
        f"{own.per_wall_second:,.0f}{'*' if own.producer_bound else ''}",
        f"{own.per_wall_second / floor.per_wall_second:.2f}",
        f"{own.per_wall_second / textbook.per_wall_second:.1f}",
        f"{own.per_cpu_second:,.0f}",
        f"{own.per_cpu_second / floor.per_cpu_second:.2f}",
        f"{own.per_cpu_second / textbook.per_cpu_second:.1f}",
        "-" if own.redis_micros is None else f"{own.redis_micros:.0f}",
        f"{own.spread:.0%}",
        _verdict(own, report) if row.is_target else "",
    )


def _verdict(own: Medians, report: Report) -> Text:
    of_floor = own.per_cpu_second / report.floor.per_cpu_second
    of_textbook = own.per_cpu_second / report.textbook.per_cpu_second
    met = of_floor >= TARGET_OF_FLOOR and of_textbook >= TARGET_OF_TEXTBOOK
    wanted = f">= {TARGET_OF_FLOOR:g}, >= {TARGET_OF_TEXTBOOK:g}"
    return Text(f"{wanted}: {'met' if met else 'missed'}", "green" if met else "bold red")


def _footnotes(report: Report) -> Sequence[str]:
    rounds, sink = len(report.rows[0].windows), report.floor
    tried = ", ".join(f"{key}: {value:,.0f}" for key, value in report.floor_by_concurrency.items())
    busiest = max(row.medians.sink_busy for row in report.rows)
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    text = f"""
Medians of {rounds} interleaved rounds; a window lasts until everything is delivered and recorded. Spread is (largest -
smallest) / median of the rate per CPU second. CPU is of a contestant's own processes with their children; that of Redis
is beside it, and neither the producer's nor the sink's is in it. The floor has the best of its rates per CPU second, by
requests under way ({tried}).
* the producer was at work for most of the window: the rate per wall second may be the producer's.
The sink took {sink.sink_micros:.0f} µs of CPU for a request of the floor, and was busy for {busiest:.0%} of a window at
most. Redis: appendfsync {report.appendfsync}.
{machine}; {report.seconds:.0f} s."""
    return text.splitlines()
