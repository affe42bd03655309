"""The ledger's Lua scripts: loaded from `lua/`, each behind the shared `_lib.lua`, called by digest.

Arguments and most answers are msgpack: one argument instead of a thousand, and names instead of positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from importlib.resources import files

#: What is owed goes on at the store's memory limit; only taking on more is refused there.
_NEEDS_MEMORY = frozenset(
    {
        "accept",
        "accept_taken",
        "admit",
        "issue_bearer",
        "open",
        "open_missing",
        "put_integration",
        "put_token",
        "redeliver",
        "tell",
        "writable",
    }
)


@dataclass(frozen=True, slots=True)
class Script:
    """A script's whole source, and the digest by which the store knows it."""

    name: str
    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        # SHA-1 is how Redis names scripts; it protects nothing here.
        object.__setattr__(self, "digest", sha1(self.source.encode(), usedforsecurity=False).hexdigest())


def script(name: str) -> Script:
    """Return the script in `lua/<name>.lua`."""
    return _scripts()[name]


@cache
def _scripts() -> Mapping[str, Script]:
    """Read all scripts at once.

    A process that reads one when it first needs it may have no file descriptor left by then, and could settle nothing.
    """
    sources = {each.name.removesuffix(".lua"): each.read_text() for each in (files(__package__) / "lua").iterdir()}
    library = sources.pop("_lib")
    return {name: Script(name, "\n".join((_first_line(name), library, source))) for name, source in sources.items()}


def _first_line(name: str) -> str:
    return "#!lua" if name in _NEEDS_MEMORY else "#!lua flags=allow-oom"
