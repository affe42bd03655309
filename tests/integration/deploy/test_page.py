"""deploy/README.md: one page, whose commands are run as far as a machine without an engine and a cluster can."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import load_settings
from tests.integration.deploy.documents import DEPLOY, ROOT, units

PAGE = (DEPLOY / "README.md").read_text()
COMMANDS = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
LINES = [line.split("  #")[0].strip() for line in COMMANDS.splitlines()]
#: What needs an engine, a cluster, root's folders or a registry; the page's last table says how it is checked.
NOT_HERE = (
    "docker ", "kind ", "kubectl apply", "kubectl create", "kubectl --namespace", "systemctl ", "/opt/edw/bin/pip",
    "python3 -m venv /opt/edw", "install ",
)  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's root, as far as these commands read it."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    return tmp_path


def shell(script: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", script], cwd=cwd, env={"PATH": path}, capture_output=True, text=True, check=False, timeout=60
    )


def test_it_is_one_page_and_the_readme_leads_to_it() -> None:
    assert len(PAGE.splitlines()) <= 100
    assert "(deploy/README.md)" in (ROOT / "README.md").read_text()
    for path in re.findall(r"deploy/[\w./*-]*[\w*]", "\n".join(LINES)):
        made_by_them = path.endswith((".env", "secrets.env"))
        assert made_by_them or list(ROOT.glob(path)), path


def test_every_command_that_can_be_run_here_does_what_it_says(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runnable = [line for line in LINES if not line.startswith(NOT_HERE)]
    (production,) = (line for line in runnable if line.endswith("overlays/production"))

    done = shell("\n".join(runnable), copy)

    assert done.returncode == 0, done.stderr
    assert "kind: ScaledObject" in done.stdout
    assert production.startswith("kubectl kustomize")
    made = dict(line.split("=", 1) for line in (copy / "deploy/.env").read_text().splitlines())
    example = [line for line in (DEPLOY / ".env.example").read_text().splitlines() if "=" in line]
    assert {f"{name}=" for name in made} == set(example)
    # For nobody else to read; the key is one that secrets can be sealed with, the passwords fit into a URL.
    assert (copy / "deploy/.env").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("EDW_SECRETS_KEYS", made["EDW_SECRETS_KEYS"])
    assert load_settings().secrets_keys
    assert all(value.isalnum() and len(value) >= 32 for name, value in made.items() if name.endswith("_PASSWORD"))


def test_the_units_are_enabled_as_the_page_says(tmp_path: Path) -> None:
    if shutil.which("systemctl") is None:
        pytest.skip('systemd is not installed: run "make servers", or apt install systemd')
    (line,) = (line for line in LINES if line.startswith("systemctl enable"))
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    for name, path in units().items():
        shutil.copy(path, folder / name)

    done = shell(line.replace("enable --now", f"--root={tmp_path} enable"), tmp_path)

    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "edw.target.wants").iterdir()} == {
        "edw-api.service", "edw-worker@9464.service", "edw-worker@9465.service"
    }  # fmt: skip
    assert (folder / "multi-user.target.wants/edw.target").is_symlink()
