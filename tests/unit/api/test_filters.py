"""Filters: `operator(field,value)`, joined by colons, as the platform's clients write them."""

from dataclasses import dataclass

import pytest

from worker.api.api_errors import ApiError
from worker.api.filters import MOST_CONDITIONS, Field, flag, milliseconds, number, parse_filter, text, time, word
from worker.api.handlers.job_handlers import FIELDS as JOB_FIELDS
from worker.api.handlers.log_handlers import FIELDS as LOG_FIELDS


@dataclass
class Row:
    good: bool | None = None
    size: float | None = None
    at: int | None = None
    name: str | None = None
    state: str | None = None


FIELDS: dict[str, Field[Row]] = {
    "good": flag(lambda row: row.good),
    "size": number(lambda row: row.size),
    "at": time(lambda row: row.at),
    "name": text(lambda row: row.name),
    "state": word(lambda row: row.state, ("open", "shut")),
}
#: 2026-11-24T07:00:00Z
SEVEN = 1_795_503_600_000


def holds(filter_: str, row: Row) -> bool:
    return all(condition.holds(row) for condition in parse_filter(filter_, FIELDS))


def refusal(filter_: str) -> str:
    with pytest.raises(ApiError) as refused:
        parse_filter(filter_, FIELDS)
    assert refused.value.status == 400
    return str(refused.value)


@pytest.mark.parametrize(
    ("operator", "fulfilled"),
    [("eq", [5]), ("gt", [6]), ("ge", [5, 6]), ("lt", [4]), ("le", [4, 5])],
)
def test_every_operator(operator: str, fulfilled: list[int]) -> None:
    assert [size for size in (4, 5, 6) if holds(f"{operator}(size,5)", Row(size=size))] == fulfilled


@pytest.mark.parametrize("operator", ["eq", "gt", "ge", "lt", "le"])
def test_a_record_without_the_value_fulfils_nothing(operator: str) -> None:
    assert not holds(f"{operator}(size,5)", Row())


def test_all_conditions_must_hold() -> None:
    between = "gt(size,1):lt(size,5):eq(good,true)"

    assert holds(between, Row(size=3, good=True))
    assert not holds(between, Row(size=3, good=False))
    assert not holds(between, Row(size=5, good=True))


def test_the_colons_of_a_time_join_nothing() -> None:
    window = "ge(at,2026-11-24T07:00:00Z):lt(at,2026-11-24T08:00:00.5+01:00):eq(good,true)"

    assert [
        at - SEVEN for at in (SEVEN - 1, SEVEN, SEVEN + 499, SEVEN + 500) if holds(window, Row(at=at, good=True))
    ] == [
        0,
        499,
    ]


@pytest.mark.parametrize("value", ["true", '"true"', " true "])
def test_values_may_be_quoted_and_have_spaces_around(value: str) -> None:
    assert holds(f"eq(good,{value})", Row(good=True))


def test_texts_and_words_are_compared_whole() -> None:
    assert holds("eq(name,a:b,c)", Row(name="a:b,c"))
    assert not holds("eq(name,a)", Row(name="ab"))
    assert holds("eq(state,open)", Row(state="open"))


@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        ("", "operator(field,value)"),
        ("good", "operator(field,value)"),
        ("eq(good)", "operator(field,value)"),
        ("eq(good,true", "operator(field,value)"),
        ("eq(good,true))", "joined by colons"),
        ("eq(good,true):", "operator(field,value)"),
        ("eq(good,true),eq(size,1)", "joined by colons"),
        ("like(name,a)", '"like" is not an operator; expected one of eq, gt, ge, lt, le'),
        ("eq(goood,true)", 'did you mean "good"?'),
        ("eq(xyzzy,true)", "expected one of good, size, at, name, state"),
        ("gt(good,true)", "good cannot be ordered"),
        ("ge(name,a)", "name cannot be ordered"),
        ("eq(good,yes)", "expected true or false"),
        ("eq(size,five)", "expected a number"),
        ("eq(size,1e999)", "expected a number"),
        ("eq(size,nan)", "expected a number"),
        ("eq(state,ajar)", "expected open or shut"),
        ("ge(at,yesterday)", "RFC 3339"),
        ("ge(at,2026-11-24)", "RFC 3339"),
        ("ge(at,2026-11-24T07:00:00)", "with its offset"),
    ],
)
def test_what_is_wrong_is_said(filter_: str, said: str) -> None:
    assert said in refusal(filter_)


def test_a_filter_has_so_many_conditions_at_most() -> None:
    most = ":".join(["eq(size,1)"] * MOST_CONDITIONS)

    assert len(parse_filter(most, FIELDS)) == MOST_CONDITIONS
    assert "at most 10 conditions" in refusal(f"{most}:eq(size,1)")


def test_a_time_is_milliseconds() -> None:
    assert milliseconds("2026-11-24T07:00:00.123Z") == SEVEN + 123
    assert milliseconds("1969-12-31T23:59:59Z") == -1_000


def test_jobs_and_logs_can_be_filtered_by_what_they_show() -> None:
    assert {"state", "created_at", "triggered_by", "event_id"} <= set(JOB_FIELDS)
    assert {"succeeded", "attempt", "status_code", "created_at", "event_id", "job_id"} <= set(LOG_FIELDS)
