"""Compact ids: each UUID has one, in the same order, and nothing else is one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.compact_id import COMPACT_BYTES, bytes_of_written, compact_uuid, uuid_of, written_uuid


@given(st.uuids())
def test_a_compact_id_is_its_uuid(value: UUID) -> None:
    text = compact_uuid(value)
    assert len(text) == COMPACT_BYTES
    assert uuid_of(text) == value


@given(st.uuids(), st.uuids())
def test_compact_ids_have_the_order_of_their_uuids(one: UUID, other: UUID) -> None:
    assert (compact_uuid(one).encode() < compact_uuid(other).encode()) == (one.bytes < other.bytes)


@pytest.mark.parametrize("text", ["", "a", "a" * 21, "a" * 23, "2da46671-b4c2-44ac-b133-d1221aafc77b", "ü" * 11])
def test_what_is_no_compact_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        uuid_of(text)


@given(st.uuids())
def test_a_uuid_that_is_written_as_usual_has_bytes(value: UUID) -> None:
    assert bytes_of_written(str(value)) == value.bytes
    assert written_uuid(value.bytes) == str(value)


_DIGIT = "0123456789abcdefABCDEF -"


@given(st.text() | st.text(_DIGIT, min_size=36, max_size=36) | st.uuids().map(lambda each: str(each).upper()))
def test_any_other_text_has_no_bytes_or_comes_back(text: str) -> None:
    value = bytes_of_written(text)
    assert value is None or written_uuid(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "2da46671b-4c2-44ac-b133-d1221aafc77b",
        "2DA46671-b4c2-44ac-b133-d1221aafc77b",
        "2da46671-b4c2-44ac-b133-d1221aafc7 b",
        "2da46671-b4c2-44ac-b133--1221aafc77b",
    ],
)
def test_what_only_looks_like_a_uuid_has_no_bytes(text: str) -> None:
    assert bytes_of_written(text) is None
