"""A filter is read or refused, and nothing else; what was written is what is compared."""

from datetime import UTC, datetime, timedelta
from operator import eq, ge, gt, le, lt

from hypothesis import example, given
from hypothesis import strategies as st

from worker.api.api_errors import ApiError
from worker.api.filters import Field, flag, number, parse_filter, text, time, word
from worker.domain.event import rfc3339

FIELDS: dict[str, Field[dict[str, object]]] = {
    "good": flag(lambda row: row.get("good")),
    "size": number(lambda row: row.get("size")),
    "at": time(lambda row: row.get("at")),
    "name": text(lambda row: row.get("name")),
    "state": word(lambda row: row.get("state"), ("open", "shut")),
}
OPERATORS = {"eq": eq, "gt": gt, "ge": ge, "lt": lt, "le": le}

conditions = st.builds(
    "{}({},{})".format,
    st.sampled_from([*OPERATORS, "like", ""]),
    st.sampled_from([*FIELDS, "other"]),
    st.text() | st.datetimes().map(str) | st.floats().map(str) | st.sampled_from(["true", "9" * 400, "1" * 20]),
)
# Naive bounds: Hypothesis wants them so, and gives the offset itself.
moments = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(st.text() | st.lists(conditions).map(":".join))
@example("eq(at,0001-01-01T00:00:00+14:00)")
@example("eq(at,9999-12-31T23:59:59-14:00)")
@example("eq(at,2026-11-24T07:00:60Z)")
def test_whatever_comes_is_read_or_an_api_error(filter_: str) -> None:
    try:
        found = parse_filter(filter_, FIELDS)
    except ApiError as error:
        assert error.status == 400
        assert error.document.errors
    else:
        for row in ({}, {"good": True, "size": 1.5, "at": 0, "name": "", "state": "open"}):
            assert all(isinstance(condition.holds(row), bool) for condition in found)


@given(st.sampled_from(list(OPERATORS)), st.integers(0, 10**12), st.integers(-2, 2))
def test_times_compare_as_times(operator: str, at: int, more: int) -> None:
    (condition,) = parse_filter(f"{operator}(at,{rfc3339(at)})", FIELDS)

    assert condition.holds({"at": at + more}) == OPERATORS[operator](at + more, at)


@given(moments, st.timedeltas(timedelta(hours=-14), timedelta(hours=14)))
def test_an_offset_changes_how_a_time_is_written_and_not_when_it_is(moment: datetime, offset: timedelta) -> None:
    minutes = round(offset.total_seconds() / 60)
    local = moment + timedelta(minutes=minutes)
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    written = f"{local.replace(tzinfo=None).isoformat()}{sign}{hours:02}:{rest:02}"

    (one,) = parse_filter(f"eq(at,{written})", FIELDS)
    (other,) = parse_filter(f"eq(at,{moment.isoformat()})", FIELDS)

    assert one.value == other.value
