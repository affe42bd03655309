"""A part of the benchmark as a command of its own."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from tests.benchmarks.measure import DeliveriesLost
from tests.benchmarks.processes import ProcessEnded


class Comparison(Protocol):
    """What a benchmark found."""

    def lines(self) -> Sequence[str]:
        """For people."""
        ...


def heed_signals() -> None:
    """SIGTERM ends a benchmark as Ctrl-C does: with all its processes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)


def run_alone(
    name: str, missing: str | None, compare: Callable[[int, float], Comparison], rounds: int, seconds: float
) -> int:
    """A benchmark as a command, with its usual rounds and seconds; `missing` is why it cannot be run.

    Answers the exit code: 1 where there is nothing to measure against, or something was lost; 130 interrupted.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}", description=f"What {name} costs.")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of a window")
    arguments = parser.parse_args()
    if missing:
        say(f"error: {missing}")
        return 1

    def measure() -> int:
        print("\n".join(compare(arguments.rounds, arguments.seconds).lines()))
        return 0

    say(f"load before: {os.getloadavg()[0]:.2f}")
    return exit_code_of(measure)


def exit_code_of(measure: Callable[[], int]) -> int:
    """Run a benchmark, which signals end, and return its exit code: 1 if something was lost, 130 if interrupted."""
    heed_signals()
    try:
        return measure()
    except (DeliveriesLost, ProcessEnded) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def say(line: str) -> None:
    """Says how far it is."""
    print(line, file=sys.stderr, flush=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
