"""HTML from templates: every value is escaped, and characters that cannot be seen are made visible."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from config.text_escaping import visible
from worker.domain.event import Scope, rfc3339
from worker.domain.humanize import counted, one_line, size

#: Text of a receiver or a producer that a page shows at most (characters).
TEXT_SHOWN = 64 * 1024

#: Milliseconds.
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
#: From how many milliseconds on a duration is written in a unit.
_UNITS = (
    (2 * _DAY, _DAY, "d"),
    (_HOUR, _HOUR, "h"),
    (_MINUTE, _MINUTE, "min"),
    (_SECOND, _SECOND, "s"),
)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("worker.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_shown,
    )
    environment.filters |= {
        "counted": counted,
        "one_line": one_line,
        "part": lambda text: quote(text, safe=""),
        "plain": plain,
        "pretty": pretty,
        "scope": scope_name,
        "size": size,
        "span": span,
        "time": _time,
        "took": took,
    }
    return environment


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """Return a template filled with values."""
    return _environment().get_template(template).render(values)


def _shown(value: Any) -> Any:
    return visible(value) if type(value) is str else value


def _time(milliseconds: int, now: int) -> Markup:
    """Return a time as `3 min ago` or `in 4 min`; the page's script adds the reader's own time."""
    instant, away = rfc3339(milliseconds), milliseconds - now
    words = "now" if abs(away) < _SECOND else f"in {span(away)}" if away > 0 else f"{span(-away)} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(instant, instant, words)


def span(milliseconds: float) -> str:
    """Return a duration in its largest fitting unit, rounded: `850 ms`, `12 s`, `4 min`, `23 h`, `3 d`."""
    for least, unit, name in _UNITS:
        if milliseconds >= least:
            return f"{round(milliseconds / unit)} {name}"
    return f"{round(milliseconds)} ms"


def took(seconds: float) -> str:
    """Return how long something took: `0.4 ms`, `850 ms`, `1.8 s`, `12 s`."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{seconds:.1f} s" if seconds < 10 else span(seconds * 1000)


def scope_name(scope: Scope) -> str:
    """Return a scope in words."""
    if scope.store_id:
        return f"{scope.store_id} of {scope.org_id}" if scope.org_id else f"store {scope.store_id}"
    return f"organisation {scope.org_id}" if scope.org_id else "the only store"


def plain(text: str) -> str:
    """Return text unchanged, cut if long."""
    return text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + "\n…"


def pretty(text: str) -> str:
    """Return JSON with indentation, its numbers as they were written, and any other text unchanged; cut if long."""
    shown = text
    with suppress(msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        shown = msgspec.json.format(text.encode(), indent=2).decode()
    return plain(shown)
