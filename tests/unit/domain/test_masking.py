import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.masking import UNKNOWN, hidden, looks_masked, mask, masked, unmasked


@pytest.mark.parametrize(
    ("secret", "seen"),
    [
        ("AKIAIOSFODNN7EXAJIMB", "****************JIMB"),
        ("abcdefghijkl", "********ijkl"),
        ("abcdefghijk", "********"),
        ("guest", "********"),
        ("1", "********"),
        ("********", "********"),
        ("üüüüüüüüüüü", "********"),
        ("", ""),
    ],
)
def test_a_mask_is_stars_and_the_last_four_characters_and_of_a_short_secret_eight_stars(secret: str, seen: str) -> None:
    assert mask(secret) == seen


@given(st.text(min_size=12))
def test_a_mask_has_the_length_of_its_secret_and_no_more_of_it_than_four_characters(secret: str) -> None:
    assert mask(secret) == "*" * (len(secret) - 4) + secret[-4:]


@given(st.text(min_size=1, max_size=11), st.text(min_size=1, max_size=11))
def test_masks_of_short_secrets_distinguish_them_from_no_other_short_secret(one: str, other: str) -> None:
    assert mask(one) == mask(other) == UNKNOWN


@given(st.text(min_size=1))
def test_a_mask_that_comes_back_is_the_secret(secret: str) -> None:
    assert unmasked(mask(secret), secret) == secret


@given(st.text(min_size=1))
def test_every_mask_looks_like_one(secret: str) -> None:
    assert looks_masked(mask(secret))


def test_another_value_is_what_it_is() -> None:
    assert unmasked("new", "old-secret") == "new"
    assert unmasked("new", None) == "new"
    assert unmasked(None, "old-secret") is None
    assert unmasked("*cret", "old-secret") == "*cret"


FIRST, SECOND = "first-secret-1111", "second-secret-2222"


def test_a_list_of_secrets_is_masked_one_by_one() -> None:
    configuration = {"passwords": [FIRST, SECOND, "short"], "url": "u"}

    assert masked(configuration, ["passwords"]) == {"passwords": [mask(FIRST), mask(SECOND), UNKNOWN], "url": "u"}
    assert unmasked([mask(FIRST), "new", UNKNOWN], [FIRST, SECOND, "short"]) == [FIRST, "new", "short"]


def test_a_list_of_secrets_may_grow_and_shrink_around_those_that_stay() -> None:
    assert unmasked(["new", mask(FIRST)], [FIRST]) == ["new", FIRST]
    assert unmasked([mask(SECOND)], [FIRST, SECOND]) == [SECOND]
    assert unmasked([mask(SECOND), mask(FIRST)], [FIRST, SECOND]) == [SECOND, FIRST]
    assert unmasked([1, mask(FIRST)], [FIRST]) == [1, FIRST]
    assert unmasked([UNKNOWN, "new"], ["short", FIRST]) == ["short", "new"]


@pytest.mark.parametrize("alike", [["short", "brief"], ["first-key-1111", "other-key-1111"]])
def test_masks_that_several_secrets_share_stand_for_them_only_where_all_are_in_their_places(alike: list[str]) -> None:
    seen = mask(alike[0])
    assert mask(alike[1]) == seen

    assert unmasked([seen, seen], alike) == alike
    assert unmasked([seen, seen, "new"], alike) == [*alike, "new"]
    # Which of the two is meant here, nobody knows: the wrong one would sign from now on.
    assert unmasked([seen], alike) == [seen]
    assert unmasked(["new", seen], alike) == ["new", seen]
    assert unmasked(["new", seen, seen], alike) == ["new", seen, seen]
    # It makes no difference where they are one and the same.
    assert unmasked(["new", seen], [alike[0], alike[0]]) == ["new", alike[0]]


def test_secrets_that_cannot_be_opened_show_nothing_of_what_is_stored() -> None:
    assert hidden({"secret_key": "sealed:abcdef", "url": "u"}, ["secret_key"]) == {"secret_key": UNKNOWN, "url": "u"}


@pytest.mark.parametrize("value", ["*", "****", "********JIMB", "********a*b\n", UNKNOWN])
def test_what_can_only_be_a_mask_looks_like_one(value: str) -> None:
    assert looks_masked(value)


@pytest.mark.parametrize("value", ["", "secret", "**cdef", "a********", "********* and more"])
def test_what_may_be_a_secret_does_not(value: str) -> None:
    assert not looks_masked(value)


def test_a_secret_in_pem_shows_nothing_of_itself() -> None:
    assert mask("-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\n") == UNKNOWN


def test_a_mapping_of_secrets_keeps_its_names() -> None:
    assert masked({"headers": {"X-A": FIRST, "X-B": "short"}}, ["headers"]) == {
        "headers": {"X-A": mask(FIRST), "X-B": UNKNOWN}
    }
    assert hidden({"headers": {"X-A": "sealed:abc"}}, ["headers"]) == {"headers": {"X-A": UNKNOWN}}
    assert unmasked({"X-A": mask(FIRST), "X-C": "new"}, {"X-A": FIRST, "X-B": SECOND}) == {"X-A": FIRST, "X-C": "new"}
