"""The order of a list, in the platform's syntax."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from worker.api.api_errors import ApiError
from worker.api.sorting import ordered, parse_sort, sort_pattern

FIELDS: Mapping[str, Callable[[tuple[str, int]], Any]] = {"name": lambda each: each[0], "age": lambda each: each[1]}
ITEMS = [("b", 2), ("a", 2), ("b", 1), ("a", 3)]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", [("a", 2), ("a", 3), ("b", 2), ("b", 1)]),
        ("-name", [("b", 2), ("b", 1), ("a", 2), ("a", 3)]),
        ("age,name", [("b", 1), ("a", 2), ("b", 2), ("a", 3)]),
        ("-age, -name", [("a", 3), ("b", 2), ("a", 2), ("b", 1)]),
    ],
)
def test_records_are_in_order_and_equal_ones_stay_as_they_were(sort: str, expected: list[tuple[str, int]]) -> None:
    assert ordered(ITEMS, parse_sort(sort, FIELDS)) == expected
    assert re.search(sort_pattern(FIELDS), sort.replace(" ", ""))


@pytest.mark.parametrize(
    ("sort", "part"),
    [
        ("names", 'did you mean "name"?'),
        ("zzz", "expected some of name, age"),
        ("", "expected some of"),
        ("name,", "expected some of"),
        ("--name", "is no attribute"),
        ("name,age,name", "expected at most 2 attributes"),
        ("x" * 10_000, "is no attribute"),
    ],
)
def test_another_order_is_refused_with_the_nearest_attribute(sort: str, part: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_sort(sort, FIELDS)
    assert refused.value.status == 400
    assert part in str(refused.value)
    assert len(str(refused.value)) < 300
    assert not re.search(sort_pattern(FIELDS), sort)
