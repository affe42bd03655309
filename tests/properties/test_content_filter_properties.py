"""A filter decides as a plain reading of its rules does, and says which condition is not met."""

from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain.content_filter import ContentFilter, compile_filter

NAMES = ("a", "b", "c")
#: Few values, so that patterns and events meet; those that Python takes for equal are among them.
scalars = st.sampled_from([None, True, False, 0, 1, 1.0, 2, -0.5, 10**30, "", "a", "ab", "abc", "1", "true"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)
_operators = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$neq"]), scalars),
    st.tuples(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
        scalars.filter(lambda value: value is not None and not isinstance(value, bool)),
    ),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(scalars, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["$startsWith", "$endsWith", "$contains"]), st.sampled_from(["", "a", "b", "ab"])),
    st.tuples(st.just("$exist"), st.booleans()),
)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.tuples(st.sampled_from(NAMES), inner)
    joined = st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=2))
    negated = st.tuples(st.just("$not"), inner)
    pairs = st.lists(members | _operators | joined | negated, min_size=1, max_size=3)
    return pairs.map(dict) | st.lists(inner, min_size=1, max_size=2)


patterns = st.recursive(scalars, _objects, max_leaves=5)

MISSING = object()


def elements(value: Any) -> Iterator[Any]:
    """What a condition looks at: the value, or in place of a list what is in it, at any depth."""
    if isinstance(value, list):
        for each in value:
            yield from elements(each)
    else:
        yield value


def same(one: Any, other: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other))
    return bool(one == other) and (numbers or type(one) is type(other))


def comparable(value: Any, operand: Any) -> bool:
    return any(
        all(isinstance(each, kinds) and not isinstance(each, bool) for each in (value, operand))
        for kinds in ((str,), (int, float))
    )


def passes(name: str, operand: Any, value: Any) -> bool:
    """Whether one value, which is no list, passes an operator that compares it."""
    match name:
        case "$eq":
            return same(value, operand)
        case "$in":
            return any(same(value, each) for each in operand)
        case "$gt":
            return comparable(value, operand) and bool(value > operand)
        case "$gte":
            return comparable(value, operand) and bool(value >= operand)
        case "$lt":
            return comparable(value, operand) and bool(value < operand)
        case "$lte":
            return comparable(value, operand) and bool(value <= operand)
        case "$startsWith":
            return isinstance(value, str) and value.startswith(operand)
        case "$endsWith":
            return isinstance(value, str) and value.endswith(operand)
        case "$contains":
            return isinstance(value, str) and operand in value
    raise AssertionError(name)


def whole(name: str, operand: Any, value: Any) -> bool:
    """Whether a value as a whole, lists included, meets an operator that asks about it."""
    match name:
        case "$neq":
            return not matches({"$eq": operand}, value)
        case "$nin":
            return not matches({"$in": operand}, value)
        case "$not":
            return not matches(operand, value)
        case "$exist":
            return bool((value is not MISSING) == operand)
        case "$and":
            return all(matches(each, value) for each in operand)
        case "$or":
            return any(matches(each, value) for each in operand)
    raise AssertionError(name)


WHOLE = ("$neq", "$nin", "$not", "$exist", "$and", "$or")


def matches(pattern: Any, value: Any) -> bool:
    """Whether a value matches a pattern: the rules, as one would explain them."""
    if isinstance(pattern, list):
        return all(matches(each, value) for each in pattern)
    if not isinstance(pattern, dict):
        return any(same(each, pattern) for each in elements(value))
    if not all(whole(name, operand, value) for name, operand in pattern.items() if name in WHOLE):
        return False
    rest = {name: operand for name, operand in pattern.items() if name not in WHOLE}
    return not rest or any(all(_has(each, *pair) for pair in rest.items()) for each in elements(value))


def _has(element: Any, name: str, operand: Any) -> bool:
    if name.startswith("$"):
        return passes(name, operand, element)
    return matches(operand, element.get(name, MISSING) if isinstance(element, dict) else MISSING)


def compiled(document: Any) -> ContentFilter:
    found = compile_filter(document)
    assert isinstance(found, ContentFilter), found
    return found


@given(patterns, st.dictionaries(st.sampled_from(NAMES), values, max_size=3))
@example({"a": {"b": 1, "c": 2}}, {"a": [{"b": 1}, {"c": 2}]})
@example({"a": {"$neq": 1}}, {"a": [[1], 2]})
@example({"a": {"$gt": 1, "$lt": 2}}, {"a": [0, 3]})
@example([{"a": True}, {"a": {"$in": [1]}}], {"a": 1})
def test_a_filter_decides_as_its_rules_read(pattern: Any, data: dict[str, Any]) -> None:
    document, event = {"data": pattern}, {"data": data}
    expected = matches(document, event)
    found = compiled(document)
    assert found.matches(event) is expected
    # What is kept is the filter's JSON.
    assert compiled(msgspec.json.decode(msgspec.json.encode(document))).matches(event) is expected


@given(patterns, st.dictionaries(st.sampled_from(NAMES), values, max_size=3))
def test_the_condition_that_is_not_met_is_named_by_its_place_in_the_filter(pattern: Any, data: dict[str, Any]) -> None:
    document = {"data": pattern}
    unmet = compiled(document).unmet({"data": data})
    assert (unmet is None) is matches(document, {"data": data})
    if unmet is not None:
        place: Any = document
        for part in unmet.pointer.split("/")[1:]:
            place = place[int(part)] if isinstance(place, list) else place[part]
        assert unmet.expected
        assert unmet.found
