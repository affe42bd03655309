"""A snapshot that learned of changes one by one is the one that was read whole."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.matching import Snapshot

SCOPE = Scope("org-1", "store-1")
KEYS = ("order.paid", "order.created", "product.deleted")

integrations = st.builds(
    Integration,
    id=st.sampled_from([f"i-{n}" for n in range(5)]),
    scope=st.just(SCOPE),
    name=st.just("n"),
    integration_type=st.just("webhook"),
    observes=st.lists(st.sampled_from(KEYS), max_size=4).map(tuple),
    enabled=st.booleans(),
    revision=st.integers(1, 3),
)
changes = st.tuples(
    st.lists(integrations, max_size=3, unique_by=lambda each: each.id),
    st.sets(st.sampled_from([f"i-{n}" for n in range(6)]), max_size=2),
)


def fresh(version: int, found: Iterable[Integration]) -> Snapshot:
    return Snapshot(SCOPE).updated(version, found, ())


def expected(found: Iterable[Integration], key: str) -> set[str]:
    """Matching, as one would explain it."""
    return {each.id for each in found if each.enabled and key in each.observes}


@given(st.lists(changes, max_size=8))
def test_any_sequence_of_changes_leads_to_the_snapshot_of_the_outcome(
    steps: list[tuple[list[Integration], set[str]]],
) -> None:
    snapshot = Snapshot(SCOPE)
    known: dict[str, Integration] = {}
    for version, (changed, deleted) in enumerate(steps, start=1):
        before = (snapshot.version, dict(snapshot.by_id), dict(snapshot.by_key))
        # Nothing is both, since what was read again after a deletion is there again.
        gone = deleted - {each.id for each in changed}
        updated = snapshot.updated(version, changed, gone)
        # A snapshot is a value: a holder of the old one keeps it.
        assert (snapshot.version, dict(snapshot.by_id), dict(snapshot.by_key)) == before
        snapshot = updated
        known = {each: value for each, value in known.items() if each not in gone} | {each.id: each for each in changed}

        assert (snapshot.version, snapshot.scope, dict(snapshot.by_id)) == (version, SCOPE, known)
        whole = fresh(version, known.values())
        assert {key: set(ids) for key, ids in snapshot.by_key.items()} == {
            key: set(ids) for key, ids in whole.by_key.items()
        }
        for key in KEYS:
            found = snapshot.matching(key)
            assert len(found) == len(set(found))
            assert set(found) == expected(known.values(), key)


@given(st.lists(integrations, max_size=5, unique_by=lambda each: each.id))
def test_a_key_that_nobody_observes_matches_nothing_and_is_not_kept(found: list[Integration]) -> None:
    snapshot = fresh(1, found)
    assert snapshot.matching("no.such") == ()
    assert all(snapshot.by_key.values())
    emptied = snapshot.updated(2, (), [each.id for each in found])
    assert (dict(emptied.by_id), dict(emptied.by_key)) == ({}, {})
