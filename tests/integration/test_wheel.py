"""The wheel has what an installation needs beside the modules: types, scripts of Redis, the catalogue of events."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "deliverers", "worker")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The files of a wheel, built from a copy: setuptools writes beside what it builds."""
    source = tmp_path_factory.mktemp("source")
    for each in PACKAGES:
        shutil.copytree(ROOT / each, source / each, ignore=shutil.ignore_patterns("__pycache__"))
    for each in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / each, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir"]
    done = subprocess.run([*command, "dist", "."], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (source / "dist").iterdir()
    with ZipFile(wheel) as opened:
        return frozenset(opened.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str, names: frozenset[str]) -> None:
    assert f"{package}/py.typed" in names


@pytest.mark.parametrize("ending", [".py", ".lua", ".json"])
def test_every_file_that_a_process_reads_is_in_it(ending: str, names: frozenset[str]) -> None:
    here = {path.relative_to(ROOT).as_posix() for each in PACKAGES for path in (ROOT / each).rglob(f"*{ending}")}
    assert here
    assert here <= names
