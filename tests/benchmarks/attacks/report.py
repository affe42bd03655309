"""What an attack cost, and whether that is little enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.attacks.clients import Tally
from tests.benchmarks.attacks.victim import BY_HTTP, DIRECT, RATE, Window

#: What must be reached: p95 under attack to that without, and growth of a process (MiB).
TARGET_P95 = 1.3
TARGET_MIB = 64.0

_MIB = 1 << 20
_PROCESSES = ("API", "worker")


@dataclass(frozen=True, slots=True)
class Finding:
    """One attack."""

    name: str
    pace: str
    quiet: Window
    attacked: Window
    #: By process: bytes before it, and the most while it lasted.
    memory: Mapping[str, tuple[int, int]]
    #: By process: the share of a processor that it took.
    busy: Mapping[str, float]
    tally: Tally

    def ratio(self, way: str) -> float:
        """The p95 under attack to that without, by one way in."""
        return self.attacked[way].p95 / self.quiet[way].p95

    def growth(self, process: str) -> float:
        """How many MiB a process took on meanwhile."""
        before, most = self.memory[process]
        return (most - before) / _MIB

    @property
    def misses(self) -> Sequence[str]:
        """The limits that are broken."""
        late = [f"p95 {way} > {TARGET_P95:g}" for way in self.quiet if not self.ratio(way) <= TARGET_P95]
        grown = [f"{each} > {TARGET_MIB:g} MiB" for each in self.memory if self.growth(each) > TARGET_MIB]
        return [*late, *grown, *(["nothing was sent"] if not self.tally.total() else [])]

    @property
    def line(self) -> str:
        """For people."""
        ways = "  ".join(
            f"{self.quiet[way].p95 * 1e3:>9.1f}{self.attacked[way].p95 * 1e3:>11.1f}{self.ratio(way):>8.2f}"
            for way in (DIRECT, BY_HTTP)
        )
        grown = "".join(f"{self.growth(each):>8.1f}" for each in _PROCESSES)
        busy = "".join(f"{self.busy[each]:>8.0%}" for each in _PROCESSES)
        came = ", ".join(f"{what} × {count:,}" for what, count in self.tally.most_common())
        verdict = f"MISSED: {', '.join(self.misses)}" if self.misses else "kept"
        return f"{self.name:<32}{ways}  {grown}  {busy}  {verdict}  [{self.pace}: {came}]"


@dataclass(frozen=True, slots=True)
class Report:
    """All attacks of a run; how long each lasted and the windows beside them, in seconds."""

    seconds: float
    quiet_seconds: float
    findings: Sequence[Finding]

    @property
    def kept(self) -> bool:
        """Whether every limit was."""
        return not any(each.misses for each in self.findings)

    def lines(self) -> Sequence[str]:
        """For people."""
        head = f"{'':<32}{'published in-process, p95 (ms)':<28}  {'by HTTP, p95 (ms)':<28}"
        ways = "  ".join(f"{'quiet':>9}{'attack':>11}{'ratio':>8}" for _ in range(2))
        missed = sum(bool(each.misses) for each in self.findings)
        return [
            f"attacks of {self.seconds:g} s on one API and one worker process; {2 * RATE:g} events/s of another store",
            f"{head}  {'memory, MiB':>16}  {'CPU':>16}",
            f"{'':<32}{ways}  " + "  ".join("".join(f"{each:>8}" for each in _PROCESSES) for _ in range(2)),
            *(each.line for each in self.findings),
            f"limits {f'MISSED by {missed} of {len(self.findings)} attacks' if missed else 'kept'}: p95 from scheduled "
            f"to delivered within {TARGET_P95:g} times of the quiet windows of {self.quiet_seconds:g} s before and "
            f"after; memory within {TARGET_MIB:g} MiB of that before (the most that was seen).",
            "The attacker's process has the lowest priority; its pace is in brackets, with what came of it.",
        ]
