"""The operators of a filter that compare a value. No I/O."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import msgspec

from worker.domain.filter_conditions import Condition, ExistenceCheck, Negation, ValueCheck

#: Characters of an operand that are repeated.
_OPERAND_CHARS = 80
_ORDERED: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "$gt": ("more than", lambda value, operand: value > operand),
    "$gte": ("at least", lambda value, operand: value >= operand),
    "$lt": ("less than", lambda value, operand: value < operand),
    "$lte": ("at most", lambda value, operand: value <= operand),
}
_TEXTS: Mapping[str, tuple[str, Callable[[str, str], bool]]] = {
    "$startsWith": ("a text that starts with", str.startswith),
    "$endsWith": ("a text that ends with", str.endswith),
    "$contains": ("a text that contains", str.__contains__),
}
_VALUE = "must be a text, a number, true, false or null"


def comparison(name: str, operand: Any, pointer: str) -> Condition | str:
    """Return the condition of an operator, or what is wrong with its operand; `pointer` is its place."""
    return _MAKERS[name](name, operand, pointer)


def _existence(_: str, operand: Any, pointer: str) -> Condition | str:
    return ExistenceCheck(pointer, operand) if isinstance(operand, bool) else "must be true or false"


def _order(name: str, operand: Any, pointer: str) -> Condition | str:
    if isinstance(operand, bool) or operand is None or not _is_value(operand):
        return "must be a number or a text"
    words, compare = _ORDERED[name]
    return ValueCheck(pointer, f"{words} {_json(operand)}", _ordered(compare, operand))


def _text(name: str, operand: Any, pointer: str) -> Condition | str:
    if not isinstance(operand, str):
        return "must be a text"
    words, passes = _TEXTS[name]
    check = _text_check(passes, operand)
    return ValueCheck(pointer, f"{words} {_json(operand)}", check, reads_all=name == "$contains")


def _equality(name: str, operand: Any, pointer: str) -> Condition | str:
    if not _is_value(operand):
        return _VALUE
    return _negated_if(name == "$neq", ValueCheck(pointer, _json(operand), _equal(operand)))


def _list(name: str, operand: Any, pointer: str) -> Condition | str:
    if not isinstance(operand, list | tuple) or not operand or not all(map(_is_value, operand)):
        return "must be a list of at least one text, number, true, false or null"
    return _negated_if(name == "$nin", ValueCheck(pointer, f"one of {_json(operand)}", _one_of(operand)))


_MAKERS: Mapping[str, Callable[[str, Any, str], Condition | str]] = {
    **dict.fromkeys(("$eq", "$neq"), _equality),
    **dict.fromkeys(_ORDERED, _order),
    **dict.fromkeys(("$in", "$nin"), _list),
    **dict.fromkeys(_TEXTS, _text),
    "$exist": _existence,
}
#: The operators that compare a value.
COMPARISONS = tuple(_MAKERS)


def _is_value(operand: Any) -> bool:
    # JSON has neither infinity nor not-a-number, and the ledger keeps filters as JSON.
    return operand is None or isinstance(operand, str | int) or (isinstance(operand, float) and isfinite(operand))


def _json(value: Any) -> str:
    text = msgspec.json.encode(value).decode("utf-8", "replace")
    return text if len(text) <= _OPERAND_CHARS else text[:_OPERAND_CHARS] + "…"


def _negated_if(negative: bool, check: ValueCheck) -> Condition:
    return Negation(check.pointer, f"not {check.expected}", check, 1) if negative else check


def _equal(operand: Any) -> Callable[[Any], bool]:
    if operand is None:
        return lambda value: value is None
    if isinstance(operand, bool):
        # In Python, True equals 1.
        return lambda value: value is operand
    if isinstance(operand, str):
        return lambda value: bool(value == operand)
    return lambda value: type(value) is not bool and value == operand


def _one_of(operands: Any) -> Callable[[Any], bool]:
    known = frozenset((type(each) is bool, each) for each in operands)
    return lambda value: type(value) is not dict and (type(value) is bool, value) in known


def _ordered(compare: Callable[[Any, Any], bool], operand: Any) -> Callable[[Any], bool]:
    if isinstance(operand, str):
        return lambda value: type(value) is str and compare(value, operand)
    return lambda value: (type(value) is int or type(value) is float) and compare(value, operand)


def _text_check(passes: Callable[[str, str], bool], operand: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and passes(value, operand)
