"""Each parser of foreign bytes, and each pattern, with ten times its worst input: no more than ten times the work.

Quadratic work is a hundred times as much. What stands between the two, and how work is measured, says work.py.
"""

import re
from importlib import import_module
from typing import Any

import pytest

from tests.linear.parsers import PARSERS, Parser
from tests.linear.patterns import PATTERNS, Pattern, found_patterns
from tests.linear.work import BOUND, growth

FOREIGN = {name: pattern for name, pattern in PATTERNS.items() if isinstance(pattern, Pattern)}
#: As they were when 96 KB of an event, and 8 KB of a header, stopped a process.
QUADRATIC = {
    "a string": (r'"(?:[^"\\]|\\.)*"', lambda size: '"' + '\\"' * (size // 2)),
    "a tag": (r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)', lambda size: "a" + " " * size + "b"),
}


@pytest.mark.parametrize("parser", PARSERS, ids=[parser.name for parser in PARSERS])
def test_a_parser_is_linear_in_its_worst_input(parser: Parser) -> None:
    found, size = growth(parser.run, parser.worst)
    assert found <= BOUND, f"{found:.0f} times the work for {size:,} bytes in place of {size // 10:,}"


@pytest.mark.parametrize("name", FOREIGN)
def test_a_pattern_is_linear_in_its_worst_input(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    compiled = getattr(import_module(module), attribute)
    found, size = growth(_used(compiled, FOREIGN[name].method), FOREIGN[name].worst)
    assert found <= BOUND, f"{found:.0f} times the work for {size:,} characters in place of {size // 10:,}"


def test_every_pattern_is_judged() -> None:
    assert sorted(set(found_patterns())) == sorted(PATTERNS), "judge it in tests/linear/patterns.py"


@pytest.mark.parametrize(("pattern", "worst"), QUADRATIC.values(), ids=QUADRATIC)
def test_what_is_quadratic_is_found(pattern: str, worst: Any) -> None:
    found, size = growth(re.compile(pattern).findall, worst)
    assert found > BOUND, f"{found:.0f} times the work for {size:,} characters"


def _used(pattern: "re.Pattern[Any]", method: str) -> Any:
    if method == "sub":
        return lambda text: pattern.sub("", text)
    return getattr(pattern, method)
