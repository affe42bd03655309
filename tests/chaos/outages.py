"""Redis and brokers that are away for so long that people would restart things: all cases side by side.

    python -m tests.chaos.outages [argument of pytest ...]

Exit codes are those of pytest: 0 all is well, 1 something is not so, 2 interrupted.
"""

import sys
import threading
from pathlib import Path
from time import monotonic

import pytest

from tests.fleet.outages import RESUMED_AFTER, RESUMED_WITHIN

#: The module of tests that has the cases.
CASES = Path(__file__).parents[1] / "integration" / "process" / "test_outages.py"
#: How long they are away, the long ones first, since these take longest (seconds).
AWAY = "120,30"
#: Cases under way at a time: half of them. Each starts a server, workers and an API, which then mostly wait.
AT_ONCE = 10
#: While nothing begins or ends, a line says that cases are under way (seconds).
PROGRESS_SECONDS = 15.0


class ProgressPrinter:
    """A line for each case that begins and for each that ends, with how soon work went on."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._under_way: set[str] = set()
        #: Cases in which work went on too late.
        self.late: list[str] = []
        self._over = threading.Event()

    def pytest_sessionstart(self) -> None:
        self._say(f"every case has {RESUMED_WITHIN:g} s to go on in, after the return")
        threading.Thread(target=self._print_progress, daemon=True).start()

    def pytest_sessionfinish(self) -> None:
        self._over.set()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._under_way.add(nodeid)
        self._say(f"begins  {_case(nodeid)}")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._under_way.discard(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.when == "call":
            took = dict(report.user_properties).get(RESUMED_AFTER)
            soon = f": work went on after {took:.2f} s" if isinstance(took, float) else ""
            self._say(f"{report.outcome}  {_case(report.nodeid)}{soon}")
            if isinstance(took, float) and took > RESUMED_WITHIN:
                self.late.append(_case(report.nodeid))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        # No dots between the lines.
        return (report.outcome, "", "") if report.when == "call" else None

    def _print_progress(self) -> None:
        while not self._over.wait(PROGRESS_SECONDS):
            self._say(f"{len(self._under_way)} under way")

    def _say(self, what: str) -> None:
        print(f"{monotonic() - self._began:5.0f} s  {what}", flush=True)


def _case(nodeid: str) -> str:
    """`…::TestRedis::test_away_for_a_while[frozen-30s]` is `Redis frozen-30s`."""
    _, of, test = nodeid.split("::")
    return f"{of.removeprefix('Test')} {test.partition('[')[2].rstrip(']')}"


def main() -> int:
    """Answers the exit code."""
    how = ["--quiet", "--numprocesses", str(AT_ONCE), "--outage-seconds", AWAY, str(CASES)]
    printer = ProgressPrinter()
    code = pytest.main([*how, *sys.argv[1:]], [printer])
    if printer.late:
        print(f"work went on later than {RESUMED_WITHIN:g} s after the return: {', '.join(printer.late)}")
    return code or bool(printer.late)


if __name__ == "__main__":
    sys.exit(main())
