"""Name-based UUIDs, against the standard library."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.name_uuid import name_bytes, name_uuid


@given(namespace=st.uuids(), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_uuid_is_the_standard_librarys(namespace: UUID, name: str) -> None:
    assert name_uuid(namespace.bytes, name) == str(uuid5(namespace, name))
    assert name_bytes(namespace.bytes, name) == uuid5(namespace, name).bytes
