"""The cursor of a redelivery: what is written is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.compact_id import compact_uuid
from worker.integrations.redelivery import Place
from worker.ledger.pages import Cursor

times = st.integers(0, 10**15 - 1)
places = st.builds(
    Place, st.sampled_from(["jobs", "past"]), st.builds(Cursor, times, st.just("") | st.uuids().map(str))
) | st.builds(
    Place, st.sampled_from(["events", "missed"]), st.builds(Cursor, times, st.just("") | st.uuids().map(compact_uuid))
)


@given(places)
def test_what_was_written_is_read_as_it_was(place: Place) -> None:
    assert Place.read(str(place)) == place


@given(st.text() | st.from_regex(r"(jobs|events|lanes)-[0-9]*-[0-9a-f-]*\n?"))
def test_whatever_comes_is_a_place_or_a_value_error(text: str) -> None:
    try:
        place = Place.read(text)
    except ValueError:
        return
    assert Place.read(str(place)) == place


_UUID = "2da46671-b4c2-44ac-b133-d1221aafc77b"


@pytest.mark.parametrize(
    "text",
    [
        *("", "jobs", "jobs-1", "jobs--1-", "jobs-1-0", "lanes-1-", "jobs-1-\n", "jobs-²-"),
        # An id of the other kind, and what only looks like one.
        *(f"events-1-{_UUID}", f"missed-1-{_UUID}", f"jobs-1-{'a' * 22}", f"past-1-{'a' * 22}", f"past-1-{'-' * 36}"),
    ],
)
def test_what_nobody_wrote_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        Place.read(text)
