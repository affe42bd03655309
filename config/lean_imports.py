"""Imports without optional companions that this project does not use, for processes that are to start quickly.

structlog imports rich for tracebacks that we do not print, and redis-py imports OpenTelemetry's metrics, wherever they
are installed. Each costs a process fifty milliseconds. Producers' processes are not ours, so nothing is left out there.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from threading import get_ident
from types import ModuleType


class _Absent:
    """Makes some packages look as if they were not installed, to one thread."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages
        self._thread = get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for these packages; leave others to the finders behind this one."""
        if get_ident() == self._thread and fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"{fullname} is left out here", name=fullname)
        return None


@contextmanager
def absent(*packages: str) -> Iterator[None]:
    """Let this thread's imports in the block do without some packages; those that are loaded already stay."""
    finder = _Absent(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
