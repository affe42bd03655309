"""The units under a real systemd: `python -m tests.integration.deploy.systemd_rehearsal`, as root, by hand.

systemd is process 1 of namespaces of its own: its mounts, processes, control groups and host name are nobody else's,
and `/opt/edw` is a file system in memory, installed as deploy/README.md says. What is started is what the units say,
with all their restrictions; only the environment file and the log lie elsewhere. It prints what it saw, and fails where
a process is not well, is not confined, or does not end by itself.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
from cryptography.fernet import Fernet

from tests.counterparts.ports import free_port
from tests.counterparts.redis_server import RedisServer
from tests.integration.deploy.documents import ROOT, units
from tests.integration.deploy.rehearsal import SYSTEM_PYTHON
from tests.waiting import wait_until

INSTANCE = "edw-worker@9464.service"
SERVICES = (INSTANCE, "edw-api.service")
#: Of a system's own units, those that ours name; what they would start is not there.
TARGETS = ("basic", "multi-user", "network-online", "shutdown", "sysinit")
#: In $1 there are the units; $2 is a Python for everybody, and $3 has pip.
INSTALL = """
mount --make-rprivate /
mount -t tmpfs tmpfs /opt
"$2" -m venv --without-pip /opt/edw
export PIP_PYTHON=/opt/edw/bin/python PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=2
"$3" -m pip install --require-hashes --only-binary :all: --requirement requirements.txt
"$3" -m pip install --no-deps --no-build-isolation .
mount -t cgroup2 cgroup2 "$1/groups"
mkdir --parents "$1/groups/edw-rehearsal"
echo $$ >"$1/groups/edw-rehearsal/cgroup.procs"
exec unshare --cgroup --pid --fork --kill-child --uts --ipc --mount-proc sh -euc "$4" sh "$1"
"""
BOOT = """
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
export container=edw SYSTEMD_UNIT_PATH="$1/units"
exec /lib/systemd/systemd --system --unit=default.target --log-target=console --show-status=no
"""
#: A control group outlives the mount that it was made through.
CLEAN = """
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$1/groups"
[ ! -e "$1/groups/edw-rehearsal" ] || find "$1/groups/edw-rehearsal" -depth -type d -exec rmdir {} +
"""


def lay_out(folder: Path, environment: Mapping[str, str]) -> None:
    """Writes the units, and what stands for the rest of a system."""
    made = folder / "units"
    made.mkdir()
    (folder / "groups").mkdir()
    (folder / "edw.env").write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    for name, path in units().items():
        (made / name).write_text(path.read_text().replace("/etc/edw/edw.env", str(folder / "edw.env")))
        if name.endswith(".service"):
            (made / f"{name}.d").mkdir()
            logs = "".join(f"Standard{stream}=append:{folder / 'log'}\n" for stream in ("Output", "Error"))
            (made / f"{name}.d/log.conf").write_text(f"[Service]\n{logs}")
    for name in TARGETS:
        (made / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    wants = " ".join(("edw.target", *SERVICES))
    (made / "default.target").write_text(f"[Unit]\nDefaultDependencies=no\nWants={wants}\n")


@contextmanager
def booted(folder: Path) -> Iterator[psutil.Process]:
    """systemd as process 1 of its own world."""
    words = ("unshare", "--mount", "sh", "-euc", INSTALL, "sh", str(folder), str(SYSTEM_PYTHON), sys.executable, BOOT)
    with (folder / "systemd.log").open("wb") as log:
        outer = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def found() -> psutil.Process | None:
        assert outer.poll() is None, (folder / "systemd.log").read_text()
        for each in psutil.Process(outer.pid).children(recursive=True):
            # One of the installation's steps may have ended just now.
            with suppress(psutil.Error):
                if each.cmdline()[:2] == ["/lib/systemd/systemd", "--system"]:
                    return each
        return None

    try:
        wait_until(found, "systemd starts")
        systemd = found()
        assert systemd is not None
        yield systemd
    finally:
        with suppress(psutil.NoSuchProcess):
            for each in psutil.Process(outer.pid).children(recursive=True):
                each.kill()
        outer.kill()
        outer.wait()
        # A process that was killed is in its group until somebody has waited for it.
        wait_until(partial(cleaned, folder), "the control groups are empty")


def cleaned(folder: Path) -> bool:
    command = ["unshare", "--mount", "sh", "-euc", CLEAN, "sh", str(folder)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def control(systemd: psutil.Process, *words: str) -> str:
    """What `systemctl` says inside."""
    inside = ("nsenter", "--target", str(systemd.pid), "--mount", "--pid", "--cgroup")
    return subprocess.run([*inside, "systemctl", *words], capture_output=True, text=True, check=True).stdout


def confinement(process: psutil.Process) -> dict[str, str]:
    """What the kernel holds a process to."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return {name: status[name].split()[0] for name in ("Uid", "CapBnd", "NoNewPrivs", "Seccomp")}


def healthy(process: str, ports: Mapping[str, str]) -> bool:
    command = [sys.executable, "-m", "worker.cli", "health", process]
    return not subprocess.run(command, env=os.environ | ports, capture_output=True, check=False).returncode


def main() -> None:
    """Boots, looks, stops."""
    # The folder is closed to the services' users, as /etc/edw is.
    with RedisServer() as redis_server, tempfile.TemporaryDirectory(prefix="edw-systemd-") as name:
        folder, port = Path(name), str(free_port())
        # The port of the metrics is the instance's all the same.
        given = {"EDW_REDIS_URL": redis_server.tcp_url, "EDW_SECRETS_KEYS": Fernet.generate_key().decode()}
        lay_out(folder, given | {"EDW_API_PORT": port, "EDW_METRICS_PORT": "1"})
        with booted(folder) as systemd:
            ports = {"EDW_API_PORT": port, "EDW_METRICS_PORT": "9464"}
            for process in ("worker", "api"):
                wait_until(partial(healthy, process, ports), f"the {process} is well")
            for each in systemd.children(recursive=True):
                kept = confinement(each)
                print(each.cmdline()[1:4], kept)
                assert kept | {"Uid": ""} == {"Uid": "", "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
                assert kept["Uid"] != "0"
            control(systemd, "stop", "edw.target", *SERVICES)
            for service in SERVICES:
                ended = control(systemd, "show", "--property=Result,ExecMainStatus", service).split()
                print(service, *ended)
                assert sorted(ended) == ["ExecMainStatus=0", "Result=success"]
        assert "drained" in (folder / "log").read_text()


if __name__ == "__main__":
    main()
