"""A newer build of this project: the same code with a higher minor version, and one more field of an integration."""

import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What a release would change: file, what is there, and what replaces it.
CHANGES = (
    ("worker/domain/format_version.py", "\nMINOR = 3\n", "\nMINOR = 4\n"),
    ("worker/intake/wakeup_message.py", "\nWAKEUP_MINOR = 0\n", "\nWAKEUP_MINOR = 4\n"),
    (
        "worker/ledger/integration_repository.py",
        '"filter": FILTER_SINCE}\n)\n_KNOWN',
        '"filter": FILTER_SINCE, "flavour": 4}\n)\n_KNOWN',
    ),
    (
        "worker/ledger/integration_repository.py",
        "    minor: int = 0\n\n\n",
        '    minor: int = 0\n    flavour: str = "vanilla"\n\n\n',
    ),
)


def newer_build(folder: Path) -> Mapping[str, str]:
    """Make the newer build in a folder; return the variables that make processes run it."""
    for package in ("worker", "deliverers", "config"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in CHANGES:
        path = folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{name} has changed: the newer build cannot be made"
        path.write_text(text.replace(old, new))
    # Without the working directory in front, this folder comes before the installed package.
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
