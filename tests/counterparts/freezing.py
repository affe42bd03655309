"""Freezing processes: SIGSTOP, and waiting until it has taken effect.

`kill` returns before the process has stopped. Its threads run on until the kernel gets to each of them, so a server
that was frozen just now may still answer. A test that does not wait depends on the machine's load.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import psutil

#: A stop takes effect when the kernel next runs each thread; a busy machine takes its time (seconds).
STOP_WITHIN_SECONDS = 30.0
_LOOK_SECONDS = 0.001
#: States of a thread that runs no code: stopped, traced, or ended (proc_pid_stat(5)).
_HALTED = frozenset("TtZX")
_HALTED_STATUS = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def freeze(pid: int) -> None:
    """Stop a process and return once none of its threads runs. Raise `ProcessLookupError` where it has ended."""
    os.kill(pid, signal.SIGSTOP)
    _await_stopped([pid])


def freeze_group(pgid: int) -> None:
    """Stop a process group and return once no thread of it runs. Raise `ProcessLookupError` where it has ended."""
    os.killpg(pgid, signal.SIGSTOP)
    _await_stopped(_members(pgid))


def thaw(pid: int) -> None:
    """Let a frozen process go on."""
    os.kill(pid, signal.SIGCONT)


def await_group_ended(pgid: int, seconds: float) -> bool:
    """Return once no process of the group is left, or false after so many seconds.

    A server's script ends before the server that it started: until then the port may still answer.
    """
    end = monotonic() + seconds
    while _members(pgid):
        if monotonic() > end:
            return False
        sleep(_LOOK_SECONDS)
    return True


def is_stopped(pid: int) -> bool:
    """Return whether no thread of the process runs; an ended process counts as stopped."""
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).status() in _HALTED_STATUS
        return True
    return all(state in _HALTED for state in _thread_states(tasks))


def _await_stopped(pids: list[int]) -> None:
    end = monotonic() + STOP_WITHIN_SECONDS
    for pid in pids:
        while not is_stopped(pid):
            if monotonic() > end:
                raise TimeoutError(f"process {pid} did not stop within {STOP_WITHIN_SECONDS:g} s of SIGSTOP")
            sleep(_LOOK_SECONDS)


def _thread_states(tasks: Path) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for task in tasks.iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                # `pid (name) state …`; the name may hold anything, parentheses too.
                yield (task / "stat").read_text(errors="replace").rpartition(") ")[2][:1]


def _members(pgid: int) -> list[int]:
    """Return the living processes of a group; one that has ended may wait for its parent for ever."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getpgid(pid) == pgid and not _has_ended(pid):
                found.append(pid)
    return found


def _has_ended(pid: int) -> bool:
    """Return whether every thread has ended. A zombie's other threads may live on for a moment, and hold its ports."""
    if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        return False
    return all(state in "ZX" for state in _thread_states(Path(f"/proc/{pid}/task")))
