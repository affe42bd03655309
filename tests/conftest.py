"""What all tests share: no settings of the environment, no test skipped unseen, and no secret in any output."""

import gc
import os
import signal
from collections.abc import Generator, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.planted import leaks


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--outage-seconds",
        type=_durations,
        default=[1.0],
        metavar="SECONDS[,SECONDS…]",
        help="how long Redis and brokers stay away in the tests of outages (make outages: 120,30)",
    )
    parser.addoption(
        "--history-kills",
        type=int,
        default=4,
        metavar="COUNT",
        help="how often the test of the history kills something under load (make chaos: 30)",
    )


def _durations(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


# Last, so that the durations of one case are neighbours: the first two tests of a process are those of one case.
@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "outage_seconds" in metafunc.fixturenames:
        metafunc.parametrize("outage_seconds", metafunc.config.getoption("--outage-seconds"), ids="{:g}s".format)


def pytest_configure() -> None:
    # Children get what a terminal sends even where the tests run in the background, which ignores it.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    # A developer's own settings change no test, and neither do those of the machine that CI runs on.
    for name in [name for name in os.environ if name.upper().startswith("EDW_")]:
        del os.environ[name]
    # A busy machine is slow, which says nothing about the code.
    settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("default")


def pytest_collection_finish() -> None:
    # The garbage collector would look at all collected tests again and again.
    gc.freeze()


@pytest.fixture(autouse=True)
def logging_stays_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process configures logging for all of it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test had printed and logged holds no secret that any test plants."""
    report = yield
    found = leaks(content for _, content in report.sections)
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: a secret was printed or logged ({', '.join(found)})"
    return report


def _skipped(config: pytest.Config) -> list[pytest.TestReport | pytest.CollectReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    return list(reporter.stats.get("skipped", ())) if in_ci and reporter else []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = _skipped(config)
    if skipped:
        terminalreporter.section("skipped, which CI does not allow", red=True)
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {_reason(report)}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
