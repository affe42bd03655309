"""Whose death a process can prove: that of real processes, and of those that a made-up /proc shows."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from worker.ledger.process_identity import NO_HOME, ProcessIdentity, dead_owners, is_dead, own_identity

OWN = own_identity()
#: The fields of /proc/<pid>/stat between the state and the number of threads, and between that and the start time.
_BETWEEN, _BEHIND = "0 " * 16, "0"


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits for its input to end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def identity_of(pid: int) -> ProcessIdentity:
    """The identity that a process of this machine has."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return replace(OWN, pid=pid, started=int(stat[19]))


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A made-up /proc with this process in it."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("8a4f6c8e-0000-4000-8000-000000000000\n")
    namespaces = tmp_path / str(os.getpid()) / "ns"
    namespaces.mkdir(parents=True)
    (namespaces / "pid").symlink_to("pid:[4026531836]")
    (namespaces / "time").symlink_to("time:[4026531834]")
    (tmp_path / "self").symlink_to(str(os.getpid()))
    put_stat(tmp_path, os.getpid(), started=7)
    return tmp_path


def put_stat(proc: Path, pid: int, *, state: str = "S", threads: int = 1, started: int = 7) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    line = f"{pid} (a name) R 1 (with spaces)) {state} {_BETWEEN}{threads} {_BEHIND} {started} 0 0\n"
    (proc / str(pid) / "stat").write_text(line)


def test_this_process_has_a_home_and_a_start_time() -> None:
    assert OWN.has_home
    assert OWN.pid == os.getpid()
    assert OWN.started > 0
    assert own_identity() == OWN


def test_a_name_in_the_ledger_says_which_process_it_is_and_no_other_has_it() -> None:
    names = {OWN.new_owner() for _ in range(100)}
    assert len(names) == 100
    assert {ProcessIdentity.of(name) for name in names} == {OWN}


@pytest.mark.parametrize(
    "owner", ["", "doctor", "host:12:abcd1234", "host:1:2:3", "host:x:2:home:n", "host:1:x:home:n", "host:-1:2:home:n"]
)
def test_a_name_of_another_form_says_nothing(owner: str) -> None:
    assert ProcessIdentity.of(owner) is None
    assert dead_owners([owner], OWN) == []


def test_a_hosts_name_may_hold_colons() -> None:
    assert ProcessIdentity.of("fe80::1:12:34:home:nonce") == ProcessIdentity("home", 12, 34)


def test_a_living_process_is_not_dead_and_a_killed_one_is(child: "subprocess.Popen[bytes]") -> None:
    other = identity_of(child.pid)
    assert not is_dead(other, OWN)
    child.kill()
    # Its parent has not read its exit code: it is a zombie.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(other, OWN)
    child.wait()
    assert is_dead(other, OWN)


def test_a_stopped_process_is_not_dead(child: "subprocess.Popen[bytes]") -> None:
    other = identity_of(child.pid)
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert not is_dead(other, OWN)


def test_a_process_whose_id_another_one_has_by_now_is_dead(child: "subprocess.Popen[bytes]") -> None:
    other = identity_of(child.pid)
    assert is_dead(replace(other, started=other.started - 1), OWN)


def test_only_the_dead_of_this_home_are_named(child: "subprocess.Popen[bytes]") -> None:
    other = identity_of(child.pid)
    child.kill()
    child.wait()
    names = [each.new_owner() for each in (OWN, other, replace(other, home="elsewhere"))]
    assert dead_owners(names, OWN) == [names[1]]


@pytest.mark.parametrize("home", ["elsewhere", NO_HOME])
def test_a_process_of_another_home_is_never_declared_dead(home: str) -> None:
    """Each container has a process 1, on one kernel, and none sees those of the others."""
    assert not is_dead(ProcessIdentity(home, 1, 0), OWN)
    assert not is_dead(ProcessIdentity(home, 2**22 + 1, 5), OWN)


def test_a_process_without_a_home_declares_nobody_dead() -> None:
    homeless = ProcessIdentity(NO_HOME, 12, 0)
    assert not is_dead(ProcessIdentity(NO_HOME, 2**22 + 1, 0), homeless)


@pytest.mark.parametrize(
    ("state", "threads", "dead"), [("S", 1, False), ("T", 3, False), ("Z", 1, True), ("Z", 2, False), ("X", 0, True)]
)
def test_a_process_has_ended_when_its_last_thread_has(proc: Path, state: str, threads: int, dead: bool) -> None:
    own = own_identity(proc)
    put_stat(proc, 77, state=state, threads=threads)
    assert is_dead(replace(own, pid=77), own, proc) is dead


def test_a_proc_that_hides_a_living_process_does_not_make_it_dead(proc: Path, child: "subprocess.Popen[bytes]") -> None:
    """With `hidepid=2`, there is no folder of a process of another user."""
    own = own_identity(proc)
    assert not is_dead(replace(own, pid=child.pid), own, proc)
    child.kill()
    child.wait()
    assert is_dead(replace(own, pid=child.pid), own, proc)


def test_a_proc_that_cannot_be_read_proves_nothing(proc: Path) -> None:
    own = own_identity(proc)
    put_stat(proc, 2**22 + 1)
    (proc / str(2**22 + 1) / "stat").write_text("")
    assert not is_dead(replace(own, pid=2**22 + 1), own, proc)


@pytest.mark.parametrize("missing", ["self", "sys/kernel/random/boot_id", "self/ns/pid", "self/stat"])
def test_without_what_makes_a_home_there_is_none(proc: Path, missing: str) -> None:
    (proc / missing).unlink()
    assert own_identity(proc) == ProcessIdentity(NO_HOME, os.getpid(), 0)


def test_the_proc_of_another_pid_namespace_makes_no_home(proc: Path) -> None:
    (proc / "4711").symlink_to(str(os.getpid()))
    (proc / "self").unlink()
    (proc / "self").symlink_to("4711")
    assert not own_identity(proc).has_home


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("sys/kernel/random/boot_id", "8a4f6c8e-0000-4000-8000-000000000001"),
        ("self/ns/pid", "pid:[4026532000]"),
        ("self/ns/time", "time:[4026532001]"),
    ],
)
def test_another_boot_or_namespace_is_another_home(proc: Path, what: str, other: str) -> None:
    home = own_identity(proc).home
    path = proc / what
    is_link = path.is_symlink()
    path.unlink()
    path.symlink_to(other) if is_link else path.write_text(other)
    assert own_identity(proc).home not in (home, NO_HOME)


def test_another_host_is_another_home(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of a machine that is started twice has one boot id."""
    home = own_identity(proc).home
    monkeypatch.setattr("socket.gethostname", lambda: "a-clone")
    assert own_identity(proc).home not in (home, NO_HOME)


def test_an_old_kernel_has_no_time_namespaces(proc: Path) -> None:
    (proc / "self/ns/time").unlink()
    assert own_identity(proc).has_home
