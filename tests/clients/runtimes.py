"""The runtimes of other languages, with the clients that `make clients` installed for them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pages import ROOT
from tests.waiting import PATIENCE

HERE = ROOT / "tests/clients"
INSTALLED = ROOT / ".venv-counterparts"
#: Where Go's own archive installs it.
GO_PATH = "/usr/local/go/bin"


@dataclass(frozen=True)
class Runtime:
    """A language: the program that runs it, and how it runs a source file."""

    name: str
    program: str
    #: The folder with its clients; None if it needs none.
    clients: str | None
    words: Callable[[str, Path], list[str]]

    def run(self, source: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> str:
        """Run a source file, and return its output. Skips the test if the runtime or its clients are missing."""
        words = [*self.words(self._found(), source), *arguments]
        done = subprocess.run(
            words,
            cwd=HERE / "go" if self.name == "go" else source.parent,
            env={**os.environ, **GO_ENVIRONMENT, **(environment or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _found(self) -> str:
        program = shutil.which(self.program, path=f"{os.environ['PATH']}{os.pathsep}{GO_PATH}")
        if program is None:
            pytest.skip(f"{self.program} is not installed; make servers installs it on Debian and Ubuntu, except Go")
        if self.clients is not None and not (INSTALLED / self.clients / ".installed").exists():
            pytest.skip(f"the {self.name} clients are not installed: make clients")
        return program


#: The cache that `make clients` filled; and no other toolchain is downloaded.
GO_ENVIRONMENT = {
    "GOCACHE": str(INSTALLED / "go/cache"),
    "GOFLAGS": "-mod=readonly",
    "GOTOOLCHAIN": "local",
    "GOPROXY": "off",
}


def _java(program: str, source: Path) -> list[str]:
    return [program, "-cp", f"{INSTALLED / 'java'}/*", "-XX:TieredStopAtLevel=1", str(source)]


PYTHON = Runtime("python", sys.executable, None, lambda program, source: [program, str(source)])
JAVASCRIPT = Runtime("javascript", "node", "javascript", lambda program, source: [program, str(source)])
PHP = Runtime("php", "php", None, lambda program, source: [program, str(source)])
GO = Runtime("go", "go", "go", lambda program, source: [program, "run", str(source)])
JAVA = Runtime("java", "java", "java", _java)


def as_module(source: Path, folder: Path) -> Path:
    """Copy a JavaScript program to where it finds the installed packages."""
    modules = folder / "node_modules"
    if not modules.is_symlink():
        modules.symlink_to(INSTALLED / "javascript/node_modules")
    copied = folder / source.name
    if copied != source:
        shutil.copy(source, copied)
    return copied
