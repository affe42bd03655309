"""Kills and stops processes and steps Redis's clock at random while events flow, and counts what arrived.

    python -m tests.chaos [--seed N] [--kills N] [--broker redis|rabbitmq|both]

Exit codes: 0 nothing is missing and everything adds up, 1 something is not so, 130 interrupted.
"""

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.chaos.play import Outcome, Plan, Progress, play
from tests.chaos.table import lines
from tests.counterparts.fake_clock import SteppedRedisServer
from tests.counterparts.rabbitmq import RabbitServer

#: In all, by default.
KILLS = 50


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kills processes, and counts.")
    parser.add_argument("--seed", default=str(secrets.randbelow(1_000_000)), help="of the run that is to be repeated")
    parser.add_argument("--kills", type=int, default=KILLS, help="in all")
    parser.add_argument("--broker", choices=("redis", "rabbitmq", "both"), default="both")
    return parser.parse_args()


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    brokers = {"redis": [False], "rabbitmq": [True], "both": [False, True]}[arguments.broker]
    # An odd one goes to the first.
    shares = [arguments.kills // len(brokers) + (n < arguments.kills % len(brokers)) for n in range(len(brokers))]
    return [Plan(arguments.seed, share, rabbitmq) for share, rabbitmq in zip(shares, brokers, strict=True)]


def _command(arguments: argparse.Namespace) -> str:
    """What repeats a run: the same kills in the same order, at the same pauses."""
    if arguments.broker == "both":
        return f"make chaos SEED={arguments.seed} KILLS={arguments.kills}"
    return f"python -m tests.chaos --seed {arguments.seed} --kills {arguments.kills} --broker {arguments.broker}"


class _ProgressPrinter:
    """A line that is written over, in a terminal; else a line for each thing that is done."""

    def __init__(self, kills: int) -> None:
        self._kills = kills
        self._began = monotonic()
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        line = (
            f"{monotonic() - self._began:4.0f} s  {progress.kills}/{self._kills} kills  "
            f"{progress.accepted:,} accepted  {progress.delivered:,} delivered  {progress.doing}"
        )
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif progress.doing != self._last:
            print(line, file=sys.stderr, flush=True)
        self._last = progress.doing

    def close(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


async def _run(arguments: argparse.Namespace) -> bool:
    """Carries out all plans; answers whether all was well."""
    _end_when_asked()
    well = True
    for plan in _plans(arguments):
        outcome = await _play(plan)
        print("", *lines(outcome), sep="\n", flush=True)
        well = well and not outcome.problems
    return well


def _end_when_asked() -> None:
    """A first Ctrl-C ends this task with everything that it started; another one must not leave processes behind."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)


async def _play(plan: Plan) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="edw-chaos-"))
    printer, outcome = _ProgressPrinter(plan.kills), None
    try:
        outcome = await play(plan, folder, printer)
    finally:
        printer.close()
        if outcome is not None and outcome.problems:
            print(f"logs and journals: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return outcome


def main() -> int:
    """Answers the exit code."""
    arguments = _arguments()
    why = SteppedRedisServer.missing() or (RabbitServer.missing() if arguments.broker != "redis" else None)
    if why:
        print(f"error: {why}", file=sys.stderr)
        return 1
    began = monotonic()
    print(f"seed {arguments.seed}; to repeat: {_command(arguments)}", flush=True)
    try:
        well = asyncio.run(_run(arguments))
    except asyncio.CancelledError:
        print("interrupted", file=sys.stderr)
        return 130
    print(f"\n{'all is well' if well else 'NOT WELL'} after {monotonic() - began:.0f} s, seed {arguments.seed}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
