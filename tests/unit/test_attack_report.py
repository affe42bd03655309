"""When an attack breaks a limit of `make attacks`."""

from math import inf

import pytest

from tests.benchmarks.attacks.clients import Tally
from tests.benchmarks.attacks.report import Finding, Report
from tests.benchmarks.attacks.victim import BY_HTTP, DIRECT, Deliveries, Window

MIB = 1 << 20
SENT = Tally({"400": 3})


def window(direct: float, by_http: float, owed: int = 100) -> Window:
    """100 deliveries by each way, that take so many seconds."""
    return {DIRECT: Deliveries([direct] * 100, owed), BY_HTTP: Deliveries([by_http] * 100, owed)}


def finding(attacked: Window, grown: int = 0, tally: Tally = SENT) -> Finding:
    memory = {"API": (100 * MIB, 100 * MIB), "worker": (100 * MIB, 100 * MIB + grown)}
    return Finding("an attack", "1/s", window(0.01, 0.02), attacked, memory, {"API": 0.1, "worker": 0.2}, tally)


def test_an_attack_that_others_barely_notice_keeps_the_limits() -> None:
    found = finding(window(0.013, 0.026), 64 * MIB)

    assert (found.misses, Report(30, 15, [found]).kept) == ([], True)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (finding(window(0.0131, 0.02)), "p95 direct > 1.3"),
        (finding(window(0.01, 0.0261)), "p95 by-http > 1.3"),
        (finding(window(0.01, 0.02), 65 * MIB), "worker > 64 MiB"),
        (finding(window(0.01, 0.02), tally=Tally()), "nothing was sent"),
    ],
)
def test_an_attack_that_others_notice_misses(found: Finding, missed: str) -> None:
    report = Report(30, 15, [finding(window(0.01, 0.02)), found])

    assert (list(found.misses), report.kept) == ([missed], False)
    assert any(f"MISSED: {missed}" in line for line in report.lines())
    assert any("MISSED by 1 of 2 attacks" in line for line in report.lines())


def test_deliveries_that_never_arrive_are_late() -> None:
    lost = finding(window(0.01, 0.01, owed=120))

    assert lost.attacked[DIRECT].p95 == inf
    assert set(lost.misses) == {"p95 direct > 1.3", "p95 by-http > 1.3"}


def test_windows_are_added_up() -> None:
    both = Deliveries([0.1, 0.4], 3) + Deliveries([0.2], 1)

    assert both == Deliveries([0.1, 0.2, 0.4], 4)
