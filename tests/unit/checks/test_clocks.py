"""No test judges by a clock, but for those that are named with a reason."""

import pytest

from tests.checks.clocks import ALLOWED, ROOT, found, problems


def test_no_test_judges_by_a_clock_or_sleeps_without_a_reason() -> None:
    lines, unused = found(ROOT, ALLOWED)
    assert lines == [], "await an event, count, or patch the clock"
    assert unused == set(), "ALLOWED names what needs no exception"
    assert all(ALLOWED.values())


@pytest.mark.parametrize(
    "line",
    [
        "assert monotonic() - began < 3",
        "assert time.monotonic() < end",
        "assert low < time.time() - began < high",
        "assert asyncio.get_running_loop().time() < end",
        "assert loop.time() < end",
        "time.sleep(0.1)",
        "await asyncio.sleep(seconds)",
        "await asyncio.sleep(0.05)",
        "sleep(1)",
    ],
)
def test_a_clock_and_a_sleep_are_found(line: str) -> None:
    assert list(problems(f"async def test() -> None:\n    {line}\n")) == [("test", 2)]


def test_a_clock_is_found_behind_names() -> None:
    source = """
def test():
    began = monotonic()
    took = perf_counter() - began
    if slow:
        short = took / 2
    assert short < 1
"""
    assert list(problems(source)) == [("test", 7)]


@pytest.mark.parametrize(
    "line",
    [
        "await asyncio.sleep(0)",
        "await asyncio.wait_for(answer, PATIENCE)",
        "assert first == 17.0",
        "end = monotonic() + seconds",
        "assert event.time() == 3",
    ],
)
def test_a_turn_of_the_loop_a_limit_and_a_patched_clock_are_let_through(line: str) -> None:
    assert list(problems(f"async def test() -> None:\n    {line}\n")) == []


def test_a_problem_belongs_to_the_innermost_function() -> None:
    source = "def test():\n    def paced():\n        sleep(1)\n    paced()\n"
    assert list(problems(source)) == [("paced", 3)]
