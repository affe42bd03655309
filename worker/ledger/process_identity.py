"""The identity of a process, and the proof that another process of this machine has died.

A process's name in the ledger (its `owner` name) carries its process id, its start time, and its *home*: a digest of
the kernel's boot id, the PID namespace, the time namespace and the host's name. A process id means the same process
only within one home. A process of another home, such as another container, is never judged: its lease must run out.

Where `/proc` is missing, hidden or another namespace's, and on other systems than Linux, there is no home.
"""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

#: Stands for a home that is not known.
NO_HOME = "-"
_PROC = Path("/proc")
#: Fields of /proc/<pid>/stat behind the command's name: state, num_threads and starttime (proc_pid_stat(5)).
_STATE, _THREADS, _STARTED = 0, 17, 19
#: States of a process that has ended; its parent has not read its exit code yet.
_ENDED = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process: its home, its id there, and its start time (clock ticks since boot)."""

    home: str
    pid: int
    started: int

    @property
    def has_home(self) -> bool:
        """Whether processes of the same home can be judged."""
        return self.home != NO_HOME

    def new_owner(self) -> str:
        """Return a name for this process in the ledger that no other process has or had."""
        return f"{socket.gethostname()}:{self.pid}:{self.started}:{self.home}:{token_hex(4)}"

    @classmethod
    def of(cls, owner: str) -> "ProcessIdentity | None":
        """Return the identity in a name of the ledger; None for a name of another form."""
        parts = owner.rsplit(":", 4)
        if len(parts) != 5 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(home=parts[3], pid=int(parts[1]), started=int(parts[2]))


def own_identity(proc: Path = _PROC) -> ProcessIdentity:
    """Return this process's identity; it has no home if `/proc` does not show this process's own namespace."""
    pid = os.getpid()
    with suppress(OSError, ValueError, IndexError):
        # Where /proc belongs to another PID namespace, its numbers are not those of os.getpid().
        if (proc / "self").readlink() == Path(str(pid)):
            started = int(_stat(proc, pid)[_STARTED])
            return ProcessIdentity(_home(proc), pid, started)
    return ProcessIdentity(NO_HOME, pid, 0)


def dead_owners(owners: Iterable[str], own: ProcessIdentity, proc: Path = _PROC) -> list[str]:
    """Return those of the names in the ledger whose process was of this home and has certainly died."""
    return [owner for owner in owners if (other := ProcessIdentity.of(owner)) and is_dead(other, own, proc)]


def is_dead(other: ProcessIdentity, own: ProcessIdentity, proc: Path = _PROC) -> bool:
    """Return whether a process has certainly died; False if this process cannot know."""
    if not own.has_home or other.home != own.home:
        return False
    try:
        stat = _stat(proc, other.pid)
        if int(stat[_STARTED]) != other.started:
            # The id belongs to another process by now.
            return True
        # The first thread of a process may end before the others.
        return stat[_STATE] in _ENDED and int(stat[_THREADS]) <= 1
    except FileNotFoundError:
        # The option `hidepid` of /proc hides processes of other users, so its silence proves nothing.
        return not _exists(other.pid)
    except (OSError, ValueError, IndexError):
        return False


def _home(proc: Path) -> str:
    boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    namespaces = [str((proc / "self/ns/pid").readlink())]
    with suppress(FileNotFoundError):
        # Start times are shifted in a time namespace (Linux 5.6).
        namespaces.append(str((proc / "self/ns/time").readlink()))
    # A machine that was restored from a snapshot has the boot id of the original, but seldom its name.
    text = "\0".join([boot, *namespaces, socket.gethostname()])
    return sha256(text.encode()).hexdigest()[:16]


def _stat(proc: Path, pid: int) -> list[str]:
    """Return the fields of a process's stat behind its name, which may hold spaces and parentheses."""
    return (proc / str(pid) / "stat").read_text(errors="replace").rpartition(") ")[2].split()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
