"""Find names of classes and modules that occur more than once: `python -m tests.checks.class_names`.

A reader who searches for a name finds one class and one module. Names with an underscore are a module's own, and may
occur anywhere. Modules of `worker/cli/commands` are named after their command, whatever else has that name.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "deliverers", "worker")
NAMED_AFTER_COMMANDS = Path("worker/cli/commands")
#: Every package has the first; the second is what `python -m` runs.
EVERYWHERE = frozenset({"__init__", "__main__"})


def class_names(source: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the line of each class, wherever it is defined; underscore names aside."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node.lineno


def repeated(sources: Mapping[Path, str]) -> list[str]:
    """Return a line for each name that occurs more than once, with the places where it is defined."""
    classes: dict[str, list[str]] = defaultdict(list)
    modules: dict[str, list[str]] = defaultdict(list)
    for path, source in sorted(sources.items()):
        for name, line in class_names(source):
            classes[name].append(f"{path}:{line}")
        if path.stem not in EVERYWHERE and path.parent != NAMED_AFTER_COMMANDS:
            modules[path.stem].append(f"{path}:1")
    return [*_lines("class", classes), *_lines("module", modules)]


def sources(root: Path, packages: Iterable[str] = PACKAGES) -> dict[Path, str]:
    """Read the modules of the packages, by their path below `root`."""
    paths = (path for package in packages for path in (root / package).rglob("*.py"))
    return {path.relative_to(root): path.read_text() for path in paths}


def _lines(kind: str, places: Mapping[str, list[str]]) -> Iterator[str]:
    for name, found in sorted(places.items()):
        if len(found) > 1:
            yield f"{kind} {name} is defined {len(found)} times; give each its own name: {', '.join(found)}"


def main(root: Path = ROOT) -> int:
    """Print each repeated name; return the exit code."""
    problems = repeated(sources(root))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
