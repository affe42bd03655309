"""UUIDs of names, and random ones, against the standard library."""

from uuid import RFC_4122, UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.name_uuid import name_bytes, name_uuid, random_uuid


@given(namespace=st.uuids(), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_uuid_is_the_standard_librarys(namespace: UUID, name: str) -> None:
    assert name_uuid(namespace.bytes, name) == str(uuid5(namespace, name))
    assert name_bytes(namespace.bytes, name) == uuid5(namespace, name).bytes


def test_a_random_uuid_is_one_of_version_4_and_no_two_are_the_same() -> None:
    texts = [random_uuid() for _ in range(1_000)]
    made = [UUID(text) for text in texts]
    assert [str(each) for each in made] == texts
    assert {(each.version, each.variant) for each in made} == {(4, RFC_4122)}
    assert len(set(made)) == len(made)
    assert {text[19] for text in texts} == set("89ab")
