"""The resources that a search may name."""

import pytest

from worker.console.pages.search_page import resources_in


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("order 123", [("order", "123")]),
        ("order  A 1", [("order", "A 1")]),
        ("order #123", [("order", "#123"), ("order", "123")]),
        ("order/123", [("order", "123")]),
        ("order:a/b", [("order:a", "b"), ("order", "a/b")]),
        ("123", []),
        ("/123", []),
        ("order/", []),
        ("", []),
    ],
)
def test_a_resource_is_a_type_and_an_id(text: str, named: list[tuple[str, str]]) -> None:
    assert [(each.type, each.id) for each in resources_in(text)] == named
