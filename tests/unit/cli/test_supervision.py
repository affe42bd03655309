import asyncio
import signal
import sys

import pytest

from worker.cli.supervision import (
    RESTART_BACKOFF,
    Child,
    Signals,
    deaths_in_a_row,
    died,
    keep_running,
    start_child,
)

DIES = [sys.executable, "-c", "raise SystemExit(3)"]
WAITS = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
HURRIES = [
    sys.executable,
    "-c",
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "signal.signal(signal.SIGQUIT, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(600)",
]


def test_a_worker_that_keeps_dying_is_started_ever_later() -> None:
    deaths = [0]
    for _ in range(10):
        deaths.append(deaths_in_a_row(deaths[-1], lived=1.0))
    pauses = [RESTART_BACKOFF.pause(each) for each in deaths]

    assert pauses[1] == RESTART_BACKOFF.first
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-1] == RESTART_BACKOFF.longest


def test_one_that_lived_for_long_is_started_again_soon() -> None:
    assert deaths_in_a_row(10, lived=3600.0) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "ended with exit code 1"), (-9, "was killed by SIGKILL"), (None, "ended with exit code None")],
)
def test_how_a_process_ended_is_said_in_words(code: int | None, words: str) -> None:
    assert died(code) == words


def test_a_worker_that_died_is_said_and_started_again_until_it_is_asked_to_stop() -> None:
    async def scenario() -> list[str]:
        signals = Signals()
        said: list[str] = []
        commands = [DIES, WAITS]

        async def start() -> Child:
            child = await start_child(commands.pop(0), 100)
            if not commands:
                signals.stop.set()
            return child

        assert await keep_running("worker 1", start, signals, said.append)
        return said

    (said,) = asyncio.run(scenario())

    assert said.startswith("worker 1 (process ")
    assert "ended with exit code 3; it starts again in 0.5 s" in said


def test_a_child_that_does_not_stop_is_killed() -> None:
    async def scenario() -> tuple[bool, int | None]:
        process = await asyncio.create_subprocess_exec(*DEAF, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        await process.stdout.readline()
        stopped = await Child(process, stop_seconds=0.2).stop()
        return stopped, process.returncode

    assert asyncio.run(scenario()) == (False, -signal.SIGKILL)


@pytest.mark.parametrize(("command", "end"), [(HURRIES, (True, 0)), (DEAF, (False, -signal.SIGQUIT))])
def test_who_is_in_a_hurry_passes_it_to_the_children(command: list[str], end: tuple[bool, int]) -> None:
    async def scenario() -> tuple[bool, int | None]:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        await process.stdout.readline()
        hurry = asyncio.Event()
        hurry.set()
        async with asyncio.timeout(100):
            stopped = await Child(process, stop_seconds=600).stop(hurry)
        return stopped, process.returncode

    assert asyncio.run(scenario()) == end


@pytest.mark.parametrize(
    ("numbers", "hurry"),
    [
        ([signal.SIGTERM], False),
        # systemd and a supervisor may both send one.
        ([signal.SIGTERM, signal.SIGTERM], False),
        ([signal.SIGINT, signal.SIGTERM], False),
        ([signal.SIGINT, signal.SIGINT], True),
        ([signal.SIGTERM, signal.SIGINT], True),
        ([signal.SIGQUIT], True),
    ],
)
def test_a_second_ctrl_c_is_a_hurry_and_a_second_sigterm_is_not(numbers: list[signal.Signals], hurry: bool) -> None:
    async def scenario() -> tuple[bool, bool]:
        signals = Signals.of_this_process()
        for number in numbers:
            signal.raise_signal(number)
            await signals.stop.wait()
        # The loop reads of a signal in its next turn, and runs the handler in the one after.
        for _ in range(3):
            await asyncio.sleep(0)
        return signals.stop.is_set(), signals.hurry.is_set()

    assert asyncio.run(scenario()) == (True, hurry)
