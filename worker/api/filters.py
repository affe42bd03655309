"""Filters in the platform's syntax: `filter=eq(succeeded,false):ge(created_at,2026-11-24T00:00:00Z)`. No I/O."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from operator import eq, ge, gt, le, lt
from typing import Any, Generic, TypeVar

import msgspec

from worker.api.api_errors import bad_parameter

FILTER = "filter"
#: Conditions that one filter may have at most.
MOST_CONDITIONS = 10

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {"eq": eq, "gt": gt, "ge": ge, "lt": lt, "le": le}
_CONDITION = re.compile(r"(?P<operator>[a-z]+)\((?P<field>[a-z_]+),(?P<value>[^()]*)\)")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_EXAMPLE = "such as eq(succeeded,false) or gt(attempt,1):lt(attempt,5)"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Field(Generic[Item]):
    """An attribute of a record that a filter may compare."""

    #: Returns the attribute of a record; None where the record has none.
    of: Callable[[Item], Any]
    #: Parses a value of the filter. Raises ValueError.
    read: Callable[[str], Any]
    #: The expected values, in words.
    expected: str
    #: False for values that only `eq` can compare.
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class FilterCondition(Generic[Item]):
    """One comparison of a filter."""

    name: str
    operator: str
    value: Any
    field: Field[Item]

    def holds(self, item: Item) -> bool:
        """Return whether a record fulfils the condition; False where it has no such value."""
        value = self.field.of(item)
        return value is not None and _OPERATORS[self.operator](value, self.value)


def parse_filter(text: str, fields: Mapping[str, Field[Item]]) -> Sequence[FilterCondition[Item]]:
    """Return the conditions of a filter, all of which must hold. Raises ApiError (400)."""
    conditions: list[FilterCondition[Item]] = []
    position = 0
    while True:
        found = _CONDITION.match(text, position)
        if found is None:
            raise bad_parameter(FILTER, f"expected operator(field,value), joined by colons, {_EXAMPLE}")
        conditions.append(_condition(found["operator"], found["field"], found["value"], fields))
        position = found.end()
        if position == len(text):
            break
        if text[position] != ":" or len(conditions) == MOST_CONDITIONS:
            raise bad_parameter(FILTER, f"expected at most {MOST_CONDITIONS} conditions, joined by colons, {_EXAMPLE}")
        position += 1
    return conditions


def _condition(operator: str, name: str, value: str, fields: Mapping[str, Field[Item]]) -> FilterCondition[Item]:
    if operator not in _OPERATORS:
        raise bad_parameter(FILTER, f'"{operator}" is not an operator; expected one of {", ".join(_OPERATORS)}')
    field = fields.get(name)
    if field is None:
        near = get_close_matches(name, fields, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else f"; expected one of {', '.join(fields)}"
        raise bad_parameter(FILTER, f'"{name}" cannot be filtered by{hint}')
    if operator != "eq" and not field.ordered:
        raise bad_parameter(FILTER, f"{name} cannot be ordered; only eq({name},…) is possible")
    try:
        return FilterCondition(name, operator, field.read(value.strip().strip('"')), field)
    except ValueError:
        raise bad_parameter(FILTER, f"{operator}({name},…): expected {field.expected}") from None


def filter_pattern(fields: Iterable[str]) -> str:
    """Return the regular expression of a filter by these fields, for the API's description."""
    one = rf"({'|'.join(_OPERATORS)})\(({'|'.join(fields)}),[^()]*\)"
    return f"^{one}(:{one}){{0,{MOST_CONDITIONS - 1}}}$"


def flag(of: Callable[[Item], Any]) -> Field[Item]:
    """Return a field that is true or false."""
    return Field(of, _flag, "true or false", ordered=False)


def number(of: Callable[[Item], Any]) -> Field[Item]:
    """Return a field that is a number."""
    return Field(of, _number, "a number")


def time(of: Callable[[Item], Any]) -> Field[Item]:
    """Return a field of milliseconds since 1970, written in RFC 3339 in a filter."""
    return Field(of, milliseconds, "a date and time with its offset (RFC 3339), such as 2026-11-24T07:00:00Z")


def text(of: Callable[[Item], Any]) -> Field[Item]:
    """Return a field that is any text, such as an id."""
    return Field(of, str, "a text", ordered=False)


def word(of: Callable[[Item], Any], words: Sequence[str]) -> Field[Item]:
    """Return a field that has one of the given words as its value."""

    def read(value: str) -> str:
        if value not in words:
            raise ValueError(value)
        return value

    return Field(of, read, " or ".join(words), ordered=False)


def milliseconds(value: str) -> int:
    """Return an RFC 3339 time in milliseconds since 1970. Raises ValueError."""
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        raise ValueError(value) from None
    if moment.tzinfo is None:
        raise ValueError(value)
    return round((moment - _EPOCH).total_seconds() * 1000)


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError(value)
    return value == "true"


def _number(value: str) -> float:
    if not _NUMBER.fullmatch(value):
        raise ValueError(value)
    return float(value)
