"""Programs in sessions of their own: whatever a test starts, its whole group can be frozen and ended."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def spawn(
    words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, *, talks: bool = False
) -> "subprocess.Popen[bytes]":
    """Start a program whose output goes to the end of a log; one that `talks` has pipes for its input and output."""
    with log.open("ab") as output:
        return subprocess.Popen(
            words,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else output,
            stderr=output,
            bufsize=0,
            # Signals go to the whole group, and what matters may be a grandchild.
            start_new_session=True,
        )


def signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a program and to everything that it started in its session; nothing where all have ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a program with its whole group, as a power cut would, and wait for the program. Repeating is safe."""
    signal_group(process, signal.SIGKILL)
    process.wait()
