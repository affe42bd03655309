"""Taking file descriptors away from a process that a test has started."""

import resource
from pathlib import Path


def leave_files(pid: int, more: int) -> None:
    """Let another process of ours open so many files more than it has open now."""
    taken = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    limit = next(number for number in range(len(taken) + more + 1) if len(set(range(number)) - taken) == more)
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def leave_all_files(pid: int) -> None:
    """Let it open as many as it ever might."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
