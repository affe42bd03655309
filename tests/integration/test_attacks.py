"""A short run of `make attacks`, which shows that it measures; what it measures is a quiet machine's to judge."""

import pytest

from tests.benchmarks.attacks.catalogue import ATTACKS
from tests.benchmarks.attacks.contest import compare
from tests.benchmarks.attacks.victim import BY_HTTP, DIRECT


# Its processes take a while to start where many others run.
@pytest.mark.timeout(300)
def test_an_attack_is_refused_and_reported() -> None:
    [attack] = [each for each in ATTACKS if each.name == "malformed Host"]

    report = compare([attack], seconds=2.0, quiet_seconds=1.0)

    [found] = report.findings
    assert found.tally["400"] > 0
    assert {way: each.owed for way, each in found.attacked.items()} == {DIRECT: 100, BY_HTTP: 100}
    assert all(each.latencies for each in found.attacked.values())
    assert all(0 < before <= most for before, most in found.memory.values())
    assert any(line.startswith(attack.name) for line in report.lines())
