"""The units, by systemd's own judgement."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import load_settings
from config.units import seconds
from tests.integration.deploy.documents import entries, units

#: systemd's figure for what a unit could still do: 0 is nothing, 10 everything. 2 and less it calls "OK".
EXPOSURE = 1.5
SERVICES = ("edw-worker@.service", "edw-api.service")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder, with a command that is there: systemd looks for it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip('systemd is not installed: run "make servers", or apt install systemd')
    command = Path(sys.executable).with_name("edw")
    for name, path in units().items():
        (tmp_path / name).write_text(path.read_text().replace("/opt/edw/bin/edw", str(command)))
    (tmp_path / "edw-worker@9464.service").symlink_to("edw-worker@.service")
    return tmp_path


def analyze(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("name", ["edw-worker@9464.service", "edw-api.service", "edw.target"])
def test_systemd_finds_nothing_wrong_with_it(name: str, installed: Path) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", installed / name)

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_could_do_little_else(name: str, installed: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", installed / name)

    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= EXPOSURE
    assert done.returncode == 0


@pytest.mark.parametrize("name", SERVICES)
def test_who_was_asked_to_stop_has_the_time_to_drain(name: str, stop_seconds: float) -> None:
    unit = entries(units()[name])

    assert seconds(unit["TimeoutStopSec"][0]) > stop_seconds
    # The process alone gets the signal, and signals those that it started: they drain, and then it ends.
    assert unit["KillSignal"] == ["SIGTERM"]
    assert unit["KillMode"] == ["mixed"]
    assert unit["Restart"] == ["on-failure"]


def test_a_worker_has_the_metrics_port_that_its_instance_names() -> None:
    worker = entries(units()["edw-worker@.service"])

    # Before the command, where no environment file can change it.
    assert worker["ExecStart"] == ["/usr/bin/env EDW_METRICS_PORT=%i /opt/edw/bin/edw worker"]
    assert f"edw-worker@{load_settings().metrics_port} " in units()["edw-worker@.service"].read_text()


def test_the_target_holds_them_together() -> None:
    for name in SERVICES:
        unit = entries(units()[name])
        assert unit["PartOf"] == ["edw.target"]
        assert unit["WantedBy"] == ["edw.target"]
    assert entries(units()["edw.target"])["WantedBy"] == ["multi-user.target"]
