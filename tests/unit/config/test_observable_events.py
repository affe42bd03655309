from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import observable_events
from config.observable_events import SHOWN_CHARS, Catalogue, ObservableKey, load_catalogue, observable_key


@pytest.fixture
def catalogue() -> Catalogue:
    return load_catalogue()


def test_a_key_of_the_catalogue_is_known_at_its_levels(catalogue: Catalogue) -> None:
    assert catalogue.levels("order.paid") == {"store"}
    assert catalogue.levels("catalog-release.created") == {"store", "organization"}
    assert catalogue.problem("order.paid", "store") is None
    assert catalogue.problem("catalog-release.created", "organization") is None
    assert "order.paid" in catalogue
    assert "order.paid" in catalogue.keys


def test_an_unknown_key_is_named_with_the_nearest_known_ones(catalogue: Catalogue) -> None:
    problem = catalogue.problem("order.payed", "store")
    assert problem is not None
    assert problem.startswith('unknown observable key "order.payed"; the nearest known keys are order.paid, ')
    assert catalogue.levels("order.payed") == frozenset()


def test_the_nearest_are_found_whatever_letters_are_wrong(catalogue: Catalogue) -> None:
    for known in catalogue.keys:
        for wrong in (known[1:], known[:-1], known.replace(".", "_"), known.upper(), known[:3] + "x" + known[3:]):
            if wrong.lower() not in catalogue:
                assert known in str(catalogue.problem(wrong, "store")), wrong


def test_a_thousand_unknown_keys_are_explained_soon(catalogue: Catalogue) -> None:
    """They come in one request, and everybody else waits meanwhile: each is compared with few known ones."""
    compared: list[int] = []

    def counted(key: str, known: Sequence[str], **how: Any) -> list[str]:
        compared.append(len(known))
        return get_close_matches(key, known, **how)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(observable_events, "get_close_matches", counted)
        for number in range(1000):
            assert "order.paid" in str(catalogue.problem(f"order.paid{number}", "store"))
    assert max(compared) <= 8 < len(catalogue.keys)


def test_a_key_of_the_other_level_is_reported_as_that(catalogue: Catalogue) -> None:
    expected = 'the observable key "order.paid" exists only at store level, not at organization level'
    assert catalogue.problem("order.paid", "organization") == expected


def test_a_deployment_adds_keys_and_levels() -> None:
    catalogue = load_catalogue([observable_key("warranty.registered"), observable_key("order.paid:organization")])
    assert catalogue.problem("warranty.registered", "store") is None
    assert catalogue.levels("order.paid") == {"store", "organization"}
    assert "warranty.registered" not in load_catalogue(), "one deployment's keys are no other's"


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("a.b", {"store"}),
        ("a.b:organization", {"organization"}),
        ("a.b.c-d:store+organization", {"store", "organization"}),
    ],
)
def test_an_added_key_may_name_its_levels(text: str, levels: set[str]) -> None:
    assert observable_key(text) == ObservableKey(text.partition(":")[0], frozenset(levels))


@pytest.mark.parametrize("text", ["", "order", "Order.paid", "a.b:", "a.b:shop", "a b.c", "a..b", "a.b\n"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^expected "):
        observable_key(text)


@given(st.text(st.characters(), max_size=300))
def test_a_strangers_key_makes_one_short_printable_line(key: str) -> None:
    problem = load_catalogue().problem(key, "store")
    assert problem is None or (problem.encode() and "\n" not in problem)
    assert problem is None or len(problem) < 6 * SHOWN_CHARS + 200


@pytest.mark.parametrize(
    "key", ["wishlist_ext.created", "a_ext.updated", "_ext_ext.deleted", "9_x_ext.created", "a" * 59 + "_ext.created"]
)
def test_the_keys_of_a_stores_custom_apis_are_observable(catalogue: Catalogue, key: str) -> None:
    assert catalogue.problem(key, "store") is None
    assert key in catalogue
    assert catalogue.levels(key) == {"store"}
    assert "only at store level" in str(catalogue.problem(key, "organization"))


@pytest.mark.parametrize(
    "key",
    [
        "_ext.created",
        "wishlist.created",
        "wishlist_ext.create",
        "wishlist_ext",
        "wishlist_ext.paid",
        "Wishlist_ext.created",
        "wish-list_ext.created",
        "a.wishlist_ext.created",
        "wishlist_ext.created\n",
        "é_ext.created",
        "a" * 60 + "_ext.created",
    ],
)
def test_what_only_resembles_them_is_unknown(catalogue: Catalogue, key: str) -> None:
    problem = catalogue.problem(key, "store")
    assert problem is not None
    assert key not in catalogue
    assert ("those of custom APIs match [a-z0-9_]{1,59}_ext" in problem) is ("_ext." in key)


def test_a_deployment_may_observe_a_custom_key_at_another_level_too() -> None:
    added = load_catalogue([observable_key("wishlist_ext.created:organization")])
    assert added.levels("wishlist_ext.created") == {"store", "organization"}


@pytest.mark.parametrize(
    "key",
    ["settings.deleted", "order.deleted", "integrations.created", "integrations.updated", "integrations.deleted"],
)
def test_the_keys_of_older_documentation_are_known(catalogue: Catalogue, key: str) -> None:
    assert catalogue.problem(key, "store") is None
