"""The real `edw`: a command that ends, or a process that goes on."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fleet.processes import ProcessUnderTest
from tests.waiting import PATIENCE, wait_until

EDW = ("-m", "worker.cli")


@dataclass(frozen=True)
class Result:
    """The outputs of a command, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, f"no output, exit code {self.code}: {self.text}"
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """Both outputs, without line breaks and runs of spaces."""
        return " ".join((self.out + self.err).split())


class EdwProcess(ProcessUnderTest):
    """A command that goes on until it is stopped."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        super().__init__([*EDW, *arguments], environment, log)

    def says(self, text: str) -> None:
        """Wait until it has written a text."""
        wait_until(lambda: self.said(text) or self.fail_if_ended(), lambda: f"{text!r} in:\n{self.output}")


Edw = Callable[..., Result]
StartEdw = Callable[..., EdwProcess]


def run_edw(arguments: tuple[str, ...], environment: Mapping[str, str], stdin: bytes = b"") -> Result:
    """Run `edw` to its end."""
    words = [sys.executable, *EDW, *arguments]
    done = subprocess.run(words, env=environment, input=stdin, capture_output=True, timeout=PATIENCE, check=False)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def alive(environment: Mapping[str, str]) -> list[int]:
    """Return the processes that a test's commands started, and their descendants, but for those that have ended.

    They are known by a variable of their environment. A Redis server writes its title over that; it is known by its
    folder.
    """
    marker, folder = environment["TEST_EDW_MARKER"].encode(), environment["TMPDIR"]
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                ours = marker in (process / "environ").read_bytes() or str((process / "cwd").readlink()).startswith(
                    folder
                )
                if state != "Z" and ours:
                    found.append(int(process.name))
    return found
