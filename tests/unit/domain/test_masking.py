import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.masking import UNKNOWN, hidden, looks_masked, mask, masked, unmasked


@pytest.mark.parametrize(
    ("secret", "seen"),
    [
        ("AKIAIOSFODNN7EXAJIMB", "****************JIMB"),
        ("12345", "*2345"),
        ("1234", "****"),
        ("1", "*"),
        ("", ""),
    ],
)
def test_a_mask_is_stars_and_the_last_four_characters(secret: str, seen: str) -> None:
    assert mask(secret) == seen


@given(st.text())
def test_a_mask_has_the_length_of_its_secret_and_no_more_of_it_than_four_characters(secret: str) -> None:
    seen = mask(secret)

    assert len(seen) == len(secret)
    assert seen[:-4] == "*" * len(seen[:-4])


@given(st.text(min_size=1))
def test_a_mask_that_comes_back_is_the_secret(secret: str) -> None:
    assert unmasked(mask(secret), secret) == secret


def test_another_value_is_what_it_is() -> None:
    assert unmasked("new", "old-secret") == "new"
    assert unmasked("new", None) == "new"
    assert unmasked(None, "old-secret") is None


def test_a_list_of_secrets_is_masked_one_by_one() -> None:
    configuration = {"passwords": ["abcdef", "ghijkl"], "url": "u"}

    assert masked(configuration, ["passwords"]) == {"passwords": ["**cdef", "**ijkl"], "url": "u"}
    assert unmasked(["**cdef", "new"], ["abcdef", "ghijkl"]) == ["abcdef", "new"]


def test_a_list_of_secrets_may_grow_and_shrink_around_those_that_stay() -> None:
    assert unmasked(["new", "**cdef"], ["abcdef"]) == ["new", "abcdef"]
    assert unmasked(["**ijkl"], ["abcdef", "ghijkl"]) == ["ghijkl"]
    assert unmasked(["**cdef", "**cdef"], ["abcdef", "12cdef"]) == ["abcdef", "12cdef"]
    assert unmasked([1, "**cdef"], ["abcdef"]) == [1, "abcdef"]


def test_secrets_that_cannot_be_opened_show_nothing_of_what_is_stored() -> None:
    assert hidden({"secret_key": "sealed:abcdef", "url": "u"}, ["secret_key"]) == {"secret_key": UNKNOWN, "url": "u"}


@pytest.mark.parametrize("value", ["*", "****", "********JIMB", UNKNOWN])
def test_what_can_only_be_a_mask_looks_like_one(value: str) -> None:
    assert looks_masked(value)


@pytest.mark.parametrize("value", ["", "secret", "**cdef", "a********", "********* and more"])
def test_what_may_be_a_secret_does_not(value: str) -> None:
    assert not looks_masked(value)
