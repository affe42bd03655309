"""What the benchmark of isolation found, and whether its aims are reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.latency import Taken, spread

#: What must be reached, of the disturbed to the calm.
TARGET_P95 = 1.3
TARGET_THROUGHPUT = 0.9


@dataclass(frozen=True, slots=True)
class Round:
    """A window of either; and of the disturbed one, how it began and how it was at its end."""

    calm: Taken
    disturbed: Taken
    #: From the worker's start until each healthy integration had a delivery (seconds).
    all_served: float
    #: Attempts under way at the end.
    under_way: int


@dataclass(frozen=True, slots=True)
class Isolation:
    """Integrations of either kind, the part of the capacity (deliveries a second) that was offered, and the rounds."""

    healthy: int
    broken: int
    load: float
    capacity: float
    rounds: Sequence[Round]

    @property
    def p95_ratios(self) -> Sequence[float]:
        """Of each round."""
        return [each.disturbed.p95 / each.calm.p95 for each in self.rounds]

    @property
    def throughput_ratios(self) -> Sequence[float]:
        """Of each round."""
        return [each.disturbed.per_second / each.calm.per_second for each in self.rounds]

    @property
    def reached(self) -> bool:
        """Whether both aims are."""
        return median(self.p95_ratios) <= TARGET_P95 and median(self.throughput_ratios) >= TARGET_THROUGHPUT

    def lines(self) -> Sequence[str]:
        """For people."""
        calm, disturbed = [each.calm for each in self.rounds], [each.disturbed for each in self.rounds]

        def row(name: str, field: str, unit: float) -> str:
            of_calm, of_disturbed = (spread([getattr(t, field) * unit for t in each], 1) for each in (calm, disturbed))
            return f"  {name:<36} {of_calm:<24} {of_disturbed:<24}"

        return [
            f"isolation: {self.healthy} healthy integrations at {self.load:.0%} of {self.capacity:,.0f} deliveries/s, "
            f"one worker process; {self.broken} broken ones beside",
            f"  {'':<36} {'without them':<24} {'with them':<24} ratio",
            row("scheduled to delivered, p95 (ms)", "p95", 1e3)
            + f" {spread(self.p95_ratios, 2)}; aim <= {TARGET_P95:g}",
            row("scheduled to delivered, median (ms)", "p50", 1e3),
            row("deliveries a second", "per_second", 1)
            + f" {spread(self.throughput_ratios, 2)}; aim >= {TARGET_THROUGHPUT:g}",
            row("worker CPU for each (µs)", "cpu_seconds", 1e6),
            f"  after a worker's start, all healthy ones had a first event within "
            f"{spread([each.all_served for each in self.rounds], 2)} s; "
            f"{spread([each.under_way for each in self.rounds])} attempts were under way in the end",
            f"  aims {'reached' if self.reached else 'MISSED'}; medians of {len(self.rounds)} interleaved rounds, "
            "lowest and highest in brackets",
        ]
