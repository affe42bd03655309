"""Compact ids: each UUID has one, in the same order, and nothing else is one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.compact_id import COMPACT_BYTES, compact_uuid, uuid_of


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
