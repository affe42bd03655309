"""The ledger's Lua scripts: assembled from `lua/` and called by digest.

A script's first line names the parts of `lua/parts/` that it needs: `-- needs: counters, leases`. A part names the
parts that it needs in the same way. `keys.lua` comes first in every script, and `clock.lua` second where the script
may write. The arguments are one msgpack map, with
names instead of a thousand positional arguments; most replies are msgpack too.

Redis compiles a script once, and makes all of its functions anew in each call. So functions of parts that nobody calls
are left out, constants are written where they are used, and the parts are in a function of their own: its functions
share the names of `keys.lua` and `clock.lua` with it, where Lua would have to look for each among all local names.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from pathlib import Path

from worker.domain.format_version import FORMAT, MINOR

#: Scripts that Redis refuses at its memory limit: they add data. All others run there too, so that pending jobs are
#: still delivered.
_NEEDS_MEMORY = frozenset(
    {
        "accept",
        "accept_taken",
        "admit",
        "announce_disabled",
        "issue_bearer",
        "note_ending",
        "open",
        "open_missing",
        "publish_exhausted",
        "publish_notice",
        "put_integration",
        "put_token",
        "redeliver",
        "restore",
        "writable",
    }
)
#: Scripts that only read, so that a replica runs them too.
_READS = frozenset({"permitted"})
_NEEDS = "-- needs:"
_COMMENT_LINES = re.compile(r"^[ \t]*--.*\n|^\n", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)\(.*\)(?:.* end\n|\n(?:.*\n)*?end\n)", re.MULTILINE)
_CONSTANT = re.compile(r"^local ([A-Z_]+) = (\d+|'[^'\n]*')\n", re.MULTILINE)
_WORD = re.compile(r"\w+")


class ScriptError(Exception):
    """A script cannot be assembled from its parts. This is a bug, found when the first script is called."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script's whole source, and the digest by which it is called."""

    name: str
    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names scripts by SHA-1; it protects nothing here.
        object.__setattr__(self, "digest", sha1(self.source.encode(), usedforsecurity=False).hexdigest())


@cache
def script(name: str) -> Script:
    """Return the script of `lua/<name>.lua` with its parts."""
    return assembled(name, _sources()[name], keeps_memory=name not in _NEEDS_MEMORY)


@cache
def _sources() -> Mapping[str, str]:
    """Read all scripts and parts at once; a part's name is `parts/<name>`.

    If a process read a script only when it first needs it, it might have no file descriptor left then, and could not
    settle. Each is assembled when it is first needed, because all together take as long as a fifth of the imports.
    """
    lua = Path(__file__).parents[1] / "lua"
    scripts = {each.name: each for each in lua.iterdir() if each.is_file()}
    parts = {f"parts/{each.name}": each for each in (lua / "parts").iterdir()}
    return {name.removesuffix(".lua"): each.read_text() for name, each in (scripts | parts).items()}


def assembled(name: str, body: str, *, keeps_memory: bool = False) -> Script:
    """Return the script of this body with the parts that it needs.

    With `keeps_memory`, Redis runs the script at its memory limit too. Raises ScriptError if a part is missing or needs
    itself.
    """
    reads = name in _READS
    always = [_part("keys")] if reads else [f"local FORMAT, MINOR = '{FORMAT}', {MINOR}", _part("keys"), _part("clock")]
    parts = [*map(_part, needed_parts(body, _part)), body]
    flags = " flags=allow-oom" if keeps_memory else ""
    if reads:
        flags += ",no-writes"
    first, inner = (_COMMENT_LINES.sub("", "\n".join([*each, ""])) for each in (always, parts))
    inner = without_idle(with_values(inner))
    return Script(name, f"#!lua{flags}\n{with_values(first)}return (function()\n{inner}end)()\n")


def with_values(lua: str) -> str:
    """Return a script with its constants written where they are used."""
    values = dict(_CONSTANT.findall(lua))
    return _WORD.sub(lambda found: values.get(found[0], found[0]), _CONSTANT.sub("", lua))


def without_idle(lua: str) -> str:
    """Return a script without the functions that nothing else in it names."""

    def kept(found: re.Match[str]) -> str:
        function, name = found[0], found[1]
        return function if words[name] > _WORD.findall(function).count(name) else ""

    while True:
        words = Counter(_WORD.findall(lua))
        shorter = _FUNCTION.sub(kept, lua)
        if shorter == lua:
            return lua
        lua = shorter


def needed_parts(body: str, part: Callable[[str], str]) -> list[str]:
    """Return the names of the parts that a script needs, each once and after the parts that it needs itself.

    `part` returns the source of a part. Raises ScriptError if parts need each other.
    """
    ordered: list[str] = []

    def add(source: str, path: tuple[str, ...]) -> None:
        for name in _needs(source):
            if name in path:
                raise ScriptError(f"parts of a Lua script need each other: {' -> '.join((*path, name))}")
            if name not in ordered:
                add(part(name), (*path, name))
                ordered.append(name)

    add(body, ())
    return ordered


def _needs(source: str) -> list[str]:
    first, _, _ = source.partition("\n")
    return [name.strip() for name in first.removeprefix(_NEEDS).split(",")] if first.startswith(_NEEDS) else []


def _part(name: str) -> str:
    try:
        return _sources()[f"parts/{name}"]
    except KeyError:
        raise ScriptError(
            f"there is no part {name!r} for Lua scripts: lua/parts/{name}.lua was expected; "
            f"check the lines that begin with {_NEEDS!r}"
        ) from None
