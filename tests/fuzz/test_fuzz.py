"""A short run of each fuzz target. `make fuzz` has a long one."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import TARGETS
from tests.fuzz.inputs import LONGEST, inputs
from tests.fuzz.target import Target

#: Inputs of each target, beside those that Hypothesis makes.
SHORT = 300


def made_of(target: Target) -> st.SearchStrategy[bytes]:
    """A target's words and seeds in any order; small where a small one is enough."""
    pieces = st.sampled_from((*target.words, *target.seeds)) | st.binary(max_size=3)
    return st.lists(pieces, max_size=20).map(lambda found: b"".join(found)[:LONGEST])


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_a_parser_keeps_its_contract_whatever_it_is_given(target: Target) -> None:
    for raw in (b"", *target.seeds, *target.words, *inputs(target, SHORT, seed=1)):
        target.check(raw)

    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(made_of(target))
    def holds(raw: bytes) -> None:
        target.check(raw)

    holds()


def test_inputs_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    target = TARGETS[0]
    assert list(inputs(target, 50, seed=1)) == list(inputs(target, 50, seed=1))
    assert list(inputs(target, 50, seed=1)) != list(inputs(target, 50, seed=2))


def test_each_target_has_a_name_of_its_own() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
