"""Filters: what they match, which are refused and why, and what they cost at most."""

from typing import Any

import msgspec
import pytest

from tests.pages import block
from tests.samples import SCOPE
from worker.domain.content_filter import FILTER_MAX_BYTES, STEPS_MAX, ContentFilter, compile_filter, content_of
from worker.domain.event_parser import stored_event
from worker.domain.filter_patterns import CONDITIONS_MAX, DEPTH_MAX, OPERATORS
from worker.domain.stored_event import StoredEvent

ORDER = {
    "type": "order",
    "total": 120.5,
    "status": "paid",
    "gift": False,
    "note": None,
    "items": [{"sku": "A-1", "qty": 1}, {"sku": "B-2", "qty": 5, "tags": ["new", "sale"]}],
}


def compiled(document: Any) -> ContentFilter:
    found = compile_filter(document)
    assert isinstance(found, ContentFilter), found
    return found


def refusals(document: Any) -> dict[str, str]:
    found = compile_filter(document)
    assert isinstance(found, list), "it was accepted"
    return {each.pointer: each.reason for each in found}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"total": {"$gte": 100}, "status": {"$in": ["complete", "paid"]}}, True),
        ({"total": {"$gte": 100}, "status": "complete"}, False),
        ({"total": {"$gt": 120, "$lt": 121}}, True),
        ({"total": "120.5"}, False),
        ({"gift": 0}, False),
        ({"note": None}, True),
        ({"missing": None}, False),
        ({"missing": {"$neq": 1}, "gone": {"$nin": [1]}}, True),
        ({"note": {"$exist": True}, "missing": {"$exist": False}}, True),
        ({"status": {"$startsWith": "pa", "$endsWith": "id", "$contains": "ai"}}, True),
        ({"items": {"sku": "B-2", "qty": {"$gte": 5}}}, True),
        ({"items": {"sku": "A-1", "qty": {"$gte": 5}}}, False),
        ({"items": {"tags": ["sale", "new"]}}, True),
        ({"items": {"tags": ["sale", "old"]}}, False),
        ({"items": {"sku": {"$neq": "A-1"}}}, True),
        ({"$not": {"items": {"sku": "A-1"}}}, False),
        ({"$or": [{"total": {"$lt": 1}}, {"status": "paid"}]}, True),
        ({"$and": [{"status": {"$not": "open"}}, {"$or": [{"gift": True}, {"gift": False}]}]}, True),
        ({"status": {"code": {"$exist": False}}}, True),
    ],
)
def test_an_order_matches_or_does_not(pattern: Any, expected: bool) -> None:
    assert compiled({"data": pattern}).matches({"data": ORDER}) is expected


@pytest.mark.parametrize(
    ("pattern", "pointer", "words"),
    [
        ({"total": {"$gte": 500}}, "/data/total/$gte", "at least 500; the event has 120.5"),
        ({"status": "open"}, "/data/status", 'expects "open"; the event has "paid"'),
        ({"x": {"y": 1}}, "/data/x/y", "the event has nothing"),
        ({"status": {"$nin": ["paid"]}}, "/data/status/$nin", 'not one of ["paid"]'),
        ({"$or": [{"total": 1}, {"total": 2}]}, "/data/$or", "one of 2 alternatives; the event has an object"),
        ({"items": {"sku": "C", "qty": 1}}, "/data/items", "none in 2 elements"),
        ({"a/b": {"~": 1}}, "/data/a~1b/~0", "nothing"),
    ],
)
def test_the_answer_names_the_condition_and_what_the_event_has(pattern: Any, pointer: str, words: str) -> None:
    unmet = compiled({"data": pattern}).unmet({"data": ORDER})
    assert unmet is not None
    assert unmet.pointer == pointer
    assert words in str(unmet)
    assert compiled({"data": {"status": "paid"}}).unmet({"data": ORDER}) is None


@pytest.mark.parametrize(
    ("document", "pointer", "words"),
    [
        ([], "/filter", "must be an object such as"),
        ("x", "/filter", "must be an object such as"),
        ({}, "/filter", "at least one condition"),
        ({"total": 1}, "/filter/total", "is not an attribute of an event; expected one of data"),
        ({"$or": [{"totl": 1}]}, "/filter/$or/0/totl", "is not an attribute of an event"),
        ({"data": {}}, "/filter/data", "at least one condition"),
        ({"data": {"a": []}}, "/filter/data/a", "at least one condition"),
        ({"data": {"a": {"$gtt": 1}}}, "/filter/data/a/$gtt", 'did you mean "$gt"?'),
        ({"data": {"a": {"$regex": "x"}}}, "/filter/data/a/$regex", "expected one of $eq"),
        ({"data": {"a": {"$gte": True}}}, "/filter/data/a/$gte", "must be a number or a text"),
        ({"data": {"a": {"$gte": None}}}, "/filter/data/a/$gte", "must be a number or a text"),
        ({"data": {"a": {"$gte": float("inf")}}}, "/filter/data/a/$gte", "must be a number or a text"),
        ({"data": {"a": {"$eq": [1]}}}, "/filter/data/a/$eq", "must be a text, a number"),
        ({"data": {"a": {"$in": []}}}, "/filter/data/a/$in", "must be a list of at least one"),
        ({"data": {"a": {"$nin": [{}]}}}, "/filter/data/a/$nin", "must be a list of at least one"),
        ({"data": {"a": {"$contains": 1}}}, "/filter/data/a/$contains", "must be a text"),
        ({"data": {"a": {"$exist": 1}}}, "/filter/data/a/$exist", "must be true or false"),
        ({"data": {"$or": {}}}, "/filter/data/$or", "must be a list of at least one pattern"),
        ({"data": {"$and": []}}, "/filter/data/$and", "must be a list of at least one pattern"),
        ({"data": {"$not": {}}}, "/filter/data/$not", "at least one condition"),
        ({"data": {"a": float("nan")}}, "/filter/data/a", "must be a text, a number"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place_and_what_was_expected(document: Any, pointer: str, words: str) -> None:
    (found,) = refusals(document).items()
    assert found[0] == pointer
    assert words in found[1]


def test_every_operator_is_known_and_all_problems_are_named_at_once() -> None:
    assert set(OPERATORS) == {
        *("$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"),
        *("$startsWith", "$endsWith", "$contains", "$exist", "$not", "$or", "$and"),
    }
    assert set(refusals({"data": {"a": {"$x": 1}, "b": {"$in": 1}}, "c": 1})) == {
        *("/filter/data/a/$x", "/filter/data/b/$in", "/filter/c"),
    }


def test_the_size_the_depth_and_the_number_of_conditions_are_bounded() -> None:
    def deep(levels: int) -> Any:
        return {"a": deep(levels - 1)} if levels else 1

    compiled({"data": deep(DEPTH_MAX - 1)})
    assert "at most 8 levels" in next(iter(refusals({"data": deep(DEPTH_MAX)}).values()))
    assert refusals({"data": deep(900)})
    compiled({"data": {f"n{number}": 1 for number in range(CONDITIONS_MAX)}})
    (problem,) = refusals({"data": {f"n{number}": 1 for number in range(CONDITIONS_MAX + 1)}}).values()
    assert "at most 100" in problem
    text = "x" * (FILTER_MAX_BYTES - len('{"data":""}'))
    compiled({"data": text})
    assert "8,192 bytes" in refusals({"data": text + "x"})["/filter"]


def test_the_filter_of_the_page_matches_what_the_page_says() -> None:
    found = compiled(msgspec.json.decode(block("deliverers/README.md", "json", "BOOK-")))
    order = {"total": 100, "status": "paid", "currency": "EUR", "items": [{"sku": "BOOK-1", "quantity": 2}]}
    assert found.matches({"data": order})
    split = [{"sku": "BOOK-1", "quantity": 1}, {"sku": "CD-1", "quantity": 2}]
    unmet = found.unmet({"data": order | {"items": split}})
    assert unmet is not None
    assert unmet.pointer == "/data/items"
    assert not found.matches({"data": order | {"currency": "USD", "test": None}})


def test_a_long_text_is_searched_only_for_so_long() -> None:
    searching = {"data": {"a": {"$contains": "needle"}}}
    assert not compiled(searching).matches({"data": {"a": "x" * 100_000}})
    # It would take too many steps, so the event is delivered rather than lost.
    assert compiled(searching).matches({"data": {"a": "x" * 10_000_000}})


def test_an_event_that_takes_too_many_steps_matches_whatever_the_filter_says() -> None:
    few, many = ({"data": {"a": [1] * count}} for count in (STEPS_MAX // 2, STEPS_MAX // 2 + 1))
    for pattern in ({"$gt": 5, "$lt": 9}, {"$not": {"$gt": 0, "$lt": 9}}):
        found = compiled({"data": {"a": pattern}})
        assert not found.matches(few)
        assert found.matches(many)
        assert found.unmet(many) is None


def stored(raw: bytes) -> StoredEvent:
    return StoredEvent("r", stored_event(raw, "e-9", SCOPE), 1_000)


def test_a_filter_sees_the_id_the_scope_and_the_time_that_the_event_got() -> None:
    content = content_of(stored(b'{"type":"order.paid","data":{"n":1},"time":null}'))
    assert content == {
        "id": "e-9",
        "type": "order.paid",
        "store_id": SCOPE.store_id,
        "org_id": SCOPE.org_id,
        "time": "1970-01-01T00:00:01.000Z",
        "data": {"n": 1},
    }


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5000, b"123456789012345678901234567890"])
def test_an_event_with_a_number_that_no_double_holds_is_compared_all_the_same(number: bytes) -> None:
    content = content_of(stored(b'{"type":"order.paid","data":{"n":%b}}' % number))
    assert compiled({"data": {"n": {"$gt": 10**20}}}).matches(content)
    assert not compiled({"data": {"n": {"$lt": 10**20}}}).matches(content)


def test_the_refusal_of_a_name_with_a_dot_points_to_it() -> None:
    assert set(refusals({"data": {"a.b": {}}})) == {"/filter/data/a.b"}
