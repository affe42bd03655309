"""The ledger's Lua scripts: loaded from `lua/`, each behind the shared `_lib.lua`, called by digest.

Arguments and most answers are msgpack: one argument instead of a thousand, and names instead of positions.
"""

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
#: What reads alone is answered by a replica too.
_READS = frozenset({"permitted"})


@dataclass(frozen=True, slots=True)
class Script:
    """A script's whole source, and the digest by which the store knows it."""

    name: str
    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        # SHA-1 is how Redis names scripts; it protects nothing here.
        object.__setattr__(self, "digest", sha1(self.source.encode(), usedforsecurity=False).hexdigest())


@cache
def script(name: str) -> Script:
    """The script in `lua/<name>.lua`."""
    folder = files(__package__) / "lua"
    flags = "" if name in _NEEDS_MEMORY else " flags=allow-oom,no-writes" if name in _READS else " flags=allow-oom"
    parts = (f"#!lua{flags}", (folder / "_lib.lua").read_text(), (folder / f"{name}.lua").read_text())
    return Script(name, "\n".join(parts))
