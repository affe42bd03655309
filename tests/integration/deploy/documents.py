"""What deploy/ says, parsed and rendered; each document is read once."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("production", "trial", "history")

Document = dict[str, Any]


@cache
def compose() -> Document:
    """compose.yaml, its anchors and merges resolved, its variables not."""
    found: Document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


@cache
def overlay(name: str) -> tuple[Document, ...]:
    """What `kubectl kustomize` makes of an overlay; of the secrets that are no part of it, one is made up."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        shutil.copytree(DEPLOY / "kubernetes", copy)
        (copy / "overlays" / name / "secrets.env").write_text("EDW_SECRETS_KEYS=made-up\n")
        done = subprocess.run(
            [Path(sys.executable).with_name("kubectl"), "kustomize", copy / "overlays" / name],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stderr == "", done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(name: str, kind: str) -> dict[str, Document]:
    """An overlay's objects of a kind, by their names."""
    return {each["metadata"]["name"]: each for each in overlay(name) if each["kind"] == kind}


def workloads(name: str) -> dict[str, Document]:
    """The pod templates of an overlay, by the names of what makes pods of them."""
    made = of_kind(name, "Deployment") | of_kind(name, "StatefulSet")
    return {each: document["spec"]["template"]["spec"] for each, document in made.items()}


def units() -> dict[str, Path]:
    """The files for systemd, by their names."""
    return {
        path.name: path for path in sorted((DEPLOY / "systemd").iterdir()) if path.suffix in (".service", ".target")
    }


def entries(unit: Path) -> dict[str, list[str]]:
    """What a unit sets, by key; lists are given line by line."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def texts() -> Iterator[tuple[str, str]]:
    """Every file of deploy/ that is a text, by its path below it."""
    for path in sorted(DEPLOY.rglob("*")):
        # Those hold somebody's secrets.
        if path.is_file() and path.name not in (".env", "secrets.env") and path.suffix != ".png":
            yield str(path.relative_to(DEPLOY)), path.read_text()


def variables(text: str) -> set[str]:
    """The names in a text that look like our settings."""
    return set(re.findall(r"\bEDW_[A-Z0-9_]+\b", text))
