"""The Dockerfile's own steps, run in a throw-away folder: `python -m tests.integration.deploy.rehearsal`.

No container engine is needed. Absolute paths are moved under the folder, `python` and `pip` are those of this machine,
and each RUN and COPY of the build stage is otherwise done as it is written, with the ENV before it; the second stage's
COPY and ENV likewise. What the base image brings, and the engine's own part, are not rehearsed.
"""

import fnmatch
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy/Dockerfile"
#: Where another user than root may run it: a Python of one's own lies in a folder that is closed to others.
SYSTEM_PYTHON = Path("/usr/bin/python3.11")
#: A registry may take its time (seconds).
STEP_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Instruction:
    """One of the Dockerfile; `stage` counts from 0."""

    stage: int
    name: str
    text: str


def instructions(dockerfile: str) -> list[Instruction]:
    """What a Dockerfile says, without comments, continued lines joined."""
    found: list[Instruction] = []
    kept = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    stage = -1
    for line in kept.replace("\\\n", " ").splitlines():
        name, _, text = line.strip().partition(" ")
        if name:
            stage += name == "FROM"
            found.append(Instruction(stage, name, " ".join(text.split())))
    return found


def ignored(path: str, rules: Sequence[str]) -> bool:
    """Whether .dockerignore keeps a path of the context out: the last rule that matches it, or a parent, decides."""
    parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    verdict = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        # `**/` stands for any number of folders, none included.
        patterns = (pattern, pattern.removeprefix("**/"))
        if any(fnmatch.fnmatch(part, each) for part in parents for each in patterns):
            verdict = not rule.startswith("!")
    return verdict


@dataclass
class Image:
    """What the steps have made so far, under `folder`."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def place(self, path: str) -> Path:
        """Where a path of the image lies."""
        return self.folder / path.lstrip("/")

    def moved(self, text: str) -> str:
        """A text whose absolute paths are those of the folder."""
        for path in ("/opt/edw", "/wheels", "/data", "/var/lib/edw"):
            text = text.replace(path, str(self.place(path)))
        return text

    def environment(self) -> dict[str, str]:
        """What a process of it sees: the image's variables and nothing of this machine's but where to find programs."""
        moved = {name: self.moved(value) for name, value in self.env.items()}
        path = moved.pop("PATH", "$PATH").replace("$PATH", f"{self.folder / 'base'}:/usr/bin:/bin")
        return {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8", **moved}


@contextmanager
def built(python: Path = SYSTEM_PYTHON, **changes: str) -> Iterator[Image]:
    """The image, as far as it can be made here; `changes` are variables of the build stage, such as another cache."""
    # Not pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="edw-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _base(folder / "base", python if python.exists() else Path(sys.executable).resolve())
        steps = instructions(DOCKERFILE.read_text())
        build = Image(folder)
        for step in (each for each in steps if each.stage == 0):
            _do(build, step, changes)
        final = Image(folder)
        for step in (each for each in steps if each.stage == 1):
            _do(final, step, {})
        yield final


def _base(folder: Path, python: Path) -> None:
    """What the base image brings: `python` and `pip`."""
    folder.mkdir()
    (folder / "python").symlink_to(python)
    pip = folder / "pip"
    pip.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pip "$@"\n')
    pip.chmod(0o755)


def _do(image: Image, step: Instruction, changes: Mapping[str, str]) -> None:
    match step.name:
        case "ENV":
            image.env |= {**dict(word.split("=", 1) for word in shlex.split(step.text)), **changes}
        case "WORKDIR":
            image.workdir = step.text
            image.place(step.text).mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(image, step.text.split())
        case "RUN":
            _run(image, step.text)
        case "USER":
            image.user = step.text
        case "ENTRYPOINT":
            image.entrypoint = _words(step.text)
        case "CMD":
            image.command = _words(step.text)


def _words(text: str) -> list[str]:
    return [str(word) for word in json.loads(text)]


def _run(image: Image, text: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", image.moved(text)],
        cwd=image.place(image.workdir),
        env=image.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"RUN {text}\n{done.stdout}{done.stderr}")


def _copy(image: Image, words: Sequence[str]) -> None:
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    *sources, target = (word for word in words if not word.startswith("--"))
    for source in sources:
        if "from" in options:
            # Between the stages; what stays where it was needs no copy.
            if source != target:
                image.place(target).parent.mkdir(parents=True, exist_ok=True)
                image.place(source).rename(image.place(target))
        else:
            _copy_from_context(source, image.place(image.workdir) / target)
    if "chown" in options and os.geteuid() == 0:
        user, group = map(int, options["chown"].split(":"))
        os.chown(image.place(target), user, group)


def _copy_from_context(source: str, target: Path) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    def kept_out(folder: str, names: Sequence[str]) -> set[str]:
        inside = Path(folder).relative_to(ROOT)
        return {name for name in names if ignored(str(inside / name), rules)}

    if ignored(source, rules):
        raise RuntimeError(f"COPY {source}: .dockerignore keeps it out")
    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, target, ignore=kept_out)
    else:
        shutil.copy2(ROOT / source, target / source if target.is_dir() else target)


def main() -> None:
    """Builds it with the caches of this machine left alone, and runs the command that it has by itself."""
    with built() as image:
        command = [str(image.place("/opt/edw/bin") / image.entrypoint[0]), "--version"]
        subprocess.run(command, env=image.environment(), check=True)
        sizes = sum(path.lstat().st_size for path in image.place("/opt/edw").rglob("*"))
        print(f"/opt/edw has {sizes / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
