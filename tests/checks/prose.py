"""Find words that this project does not use: `python -m tests.checks.prose`.

Prose is every comment, docstring and string of the Python files, the comments of the Lua scripts, and the whole text of
pages, settings of deployments, the dashboard and the Makefile. Names in Python are checked as well: `tell_worker` and
`Teller` hold the words `tell` and `teller`. A word is banned if it has another meaning in plain English than here, or
if the project has a term for what it means.
"""

import io
import re
import subprocess
import sys
import token
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[2]

#: Banned words and phrases, and what to write instead. A space stands for any white space.
BANNED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("tell", "tells", "told", "telling", "teller"), "say, report, notify, show, distinguish"),
        **dict.fromkeys(("hear", "hears", "heard", "unheard", "untold"), "learn, receive; unknown, unannounced"),
        **dict.fromkeys(("whoever", "whomever", "whosever"), "name the actor: a caller that, the process that"),
        **dict.fromkeys(("door", "doors"), "way in, ingress"),
        **dict.fromkeys(("room", "rooms", "house"), "free slots, capacity; module, package"),
        **dict.fromkeys(("carrier", "carriers"), "trace context, headers"),
        **dict.fromkeys(("portion", "portions"), "page, batch, chunk, part"),
        **dict.fromkeys(("stray", "strays"), "idle lease"),
        **dict.fromkeys(("wording", "wordings"), "text, message"),
        "flights": "attempts in flight",
        "vitals": "health",
        "the books": "the balance, the ledger's sums",
        "as it came": "unchanged, as received",
        "as they came": "unchanged, as received",
        "owed anew": "due again",
        "a matter of": "say what it depends on",
    }
)
#: Those that are banned in names too. Elsewhere a name may count `room` and cut a `portion`.
IN_NAMES = frozenset(BANNED) - {"room", "portion"} | {"books"}

#: Places where a banned word is right, and why.
ALLOWED: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("deliverers/egress.py", "carrier"): "RFC 6598 calls its addresses carrier-grade NAT",
        ("tests/unit/deliverers/test_egress.py", "carrier"): "RFC 6598 calls its addresses carrier-grade NAT",
        ("worker/ledger/lanes/job_lanes.py", "room"): "an argument of claim and open",
        ("worker/ledger/lua/claim.lua", "room"): "an argument of the script",
        ("worker/ledger/lua/open.lua", "room"): "an argument of the script",
    }
)
#: Files of other people, lists of packages, and the words themselves.
IGNORED = re.compile(
    r"requirements[^/]*\.txt|.*/requirements-\w+\.txt|LICENSE|.*/LICENSE\.\w+|.*\.min\.js|.*\.(png|schema\.json|zstd)|tests/(unit/)?checks/(test_)?prose\.py"
    r"|.*/schemas/.*\.yaml"
)

_STRINGS = {
    token.STRING,
    *(getattr(token, name) for name in ("FSTRING_MIDDLE", "TSTRING_MIDDLE") if hasattr(token, name)),
}
_PHRASES = "|".join(each.replace(" ", r"\s+") for each in BANNED)
_BANNED = re.compile(rf"(?<![a-z0-9])({_PHRASES})(?![a-z0-9])", re.IGNORECASE)
_NAME_IN_QUOTES = re.compile(r"[a-z]*(['\"])(\w+)\1", re.IGNORECASE)
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LUA_COMMENT = re.compile(r"--(.*)")

#: A banned word and the line where it stands.
Found = tuple[str, int]


def in_text(text: str, line: int = 1) -> Iterator[Found]:
    """Yield the banned words of a text that starts at a line."""
    for match in _BANNED.finditer(text):
        yield " ".join(match.group().lower().split()), line + text.count("\n", 0, match.start())


def in_name(name: str, line: int) -> Iterator[Found]:
    """Yield the banned words of a name in snake or camel case."""
    for part in _PART.findall(name):
        if part.lower() in IN_NAMES:
            yield part.lower(), line


def in_python(source: str) -> Iterator[Found]:
    """Yield the banned words of comments, strings and names."""
    for each in tokenize.generate_tokens(io.StringIO(source).readline):
        if quoted := _NAME_IN_QUOTES.fullmatch(each.string):
            yield from in_name(quoted.group(2), each.start[0])
        elif each.type == token.COMMENT or each.type in _STRINGS:
            yield from in_text(each.string, each.start[0])
        elif each.type == token.NAME:
            yield from in_name(each.string, each.start[0])


def in_lua(source: str) -> Iterator[Found]:
    """Yield the banned words of comments."""
    for match in _LUA_COMMENT.finditer(source):
        yield from in_text(match.group(1), 1 + source.count("\n", 0, match.start()))


def in_file(path: str, text: str) -> Iterator[Found]:
    """Yield the banned words of a file and of its name."""
    yield from in_name(Path(path).stem, 1)
    match Path(path).suffix:
        case ".py":
            yield from in_python(text)
        case ".lua":
            yield from in_lua(text)
        case _:
            yield from in_text(text)


def problems(files: Mapping[str, str], allowed: Iterable[tuple[str, str]] = ALLOWED) -> list[str]:
    """Return a line for each banned word, and for each allowance that nothing needs."""
    found = [(path, word, line) for path, text in sorted(files.items()) for word, line in in_file(path, text)]
    permitted = set(allowed)
    unneeded = sorted(permitted - {(path, word) for path, word, _ in found})
    return [
        *(
            f'{path}:{line}: "{word}"; write instead: {BANNED.get(word, BANNED["the books"])}'
            for path, word, line in found
            if (path, word) not in permitted
        ),
        *(f'tests/checks/prose.py allows "{word}" in {path}, where it does not occur' for path, word in unneeded),
    ]


def tracked(root: Path = ROOT) -> dict[str, str]:
    """Read the text files of the repository, by their path below `root`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (path for path in listed.stdout.split("\0") if path and not IGNORED.fullmatch(path))
    return {path: (root / path).read_text() for path in paths if (root / path).is_file()}


def main(root: Path = ROOT) -> int:
    """Print each banned word; return the exit code."""
    wrong = problems(tracked(root))
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
